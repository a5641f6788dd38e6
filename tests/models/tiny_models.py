"""Tiny real transformers models, made in a second, with tokenizers trained on a few sentences.

Their words mean nothing: random weights, large enough that the answers vary; but `reader` and
`tagger` are trained, in a few seconds, to answer from sentences like those of `townspeople`. Each
function writes a folder as `save_pretrained` does and returns it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LINES = [
    "the cat sat on the mat and the dog lay by the door",
    "a pump delivers four litres of water a minute",
    "employees are entitled to thirty days of paid leave a year",
    "summarize: the harbour was quiet that morning and nothing moved",
    "naïve café, 東京, שלום, 🙂 and ½ of everything else",
    "positive: a delight, wonderful, great. negative: a bore, awful, bad.",
]
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXT = 128
TOWN = {
    "who": ["Ann", "Benedict", "Mary Jones", "Oskar", "Chidi", "Wilhelmina"],
    "where": ["Paris", "New Delhi", "Lagos", "Reykjavik", "Lima"],
    "what": ["red apples", "tea", "umbrellas", "old books", "copper pipes"],
}
KINDS = {"who": "PER", "where": "LOC", "what": "ARTICLE"}
QUIET = " It was a quiet day. "
FORMS = [
    "In |where|, |who| sells |what|.",
    "|who| sells |what| in |where|.",
    "|who| sells |what|.",
    "There are |what| in |where|.",
    "|who| lives in |where| now.",
    "Nothing moved.",
    "The best |what| are here.",
]


def causal(
    folder: Path,
    *,
    chat: bool = True,
    context: int = CONTEXT,
    rope: dict[str, Any] | None = None,
    **folder_says: Any,
) -> Path:
    """A Llama of two layers; `folder_says` goes into its generation_config.json."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer(context, chat=chat)
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            initializer_range=0.5,
            rope_parameters={"rope_theta": 10_000.0, "rope_type": "default", **(rope or {})},
            **_MARKS,
        )
    )
    return _saved(folder, model, words, folder_says)


def longrope(folder: Path) -> Path:
    """A Llama whose positions are computed in another way beyond the 32nd."""
    rope = {
        "rope_type": "longrope",
        "short_factor": [1.0] * 4,
        "long_factor": [1.0, 2.0, 4.0, 8.0],
        "original_max_position_embeddings": 32,
    }
    return causal(folder, rope=rope)


def gpt2(folder: Path, *, context: int = 64) -> Path:
    """A causal model with a learned vector for each position, and no chat template."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    words = tokenizer(context, chat=False)
    torch.manual_seed(2)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(words),
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=context,
            initializer_range=0.5,
            **_MARKS,
        )
    )
    return _saved(folder, model, words, {})


def t5(folder: Path, **folder_says: Any) -> Path:
    """An encoder-decoder model with relative positions."""
    from transformers import T5Config, T5ForConditionalGeneration

    return _seq2seq(
        folder,
        T5ForConditionalGeneration,
        T5Config,
        folder_says,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        initializer_factor=2.0,
    )


def bart(folder: Path, **folder_says: Any) -> Path:
    """An encoder-decoder model with learned positions, whose last token is forced to be the end."""
    from transformers import BartConfig, BartForConditionalGeneration

    return _seq2seq(
        folder,
        BartForConditionalGeneration,
        BartConfig,
        folder_says,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=CONTEXT,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        init_std=0.5,
    )


def classifier(
    folder: Path, labels: Iterable[str] = ("negative", "positive"), *, context: int = 64
) -> Path:
    """A BERT with a head for sequence classification. It is not trained."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    words, names = tokenizer(context, chat=False, padding="right"), list(labels)
    torch.manual_seed(5)
    model = BertForSequenceClassification(
        BertConfig(
            id2label=dict(enumerate(names)),
            label2id={name: place for place, name in enumerate(names)},
            **_bert(len(words), context),
        )
    )
    return _saved(folder, model, words, None)


def encoder(folder: Path, *, context: int = 64) -> Path:
    """A BERT without a head: what an embedder is made of."""
    import torch
    from transformers import BertConfig, BertModel

    words = tokenizer(context, chat=False, padding="right")
    torch.manual_seed(6)
    model = BertModel(BertConfig(**_bert(len(words), context)), add_pooling_layer=False)
    return _saved(folder, model, words, None)


class Townsperson(NamedTuple):
    """A sentence, and the spans in it that say who, where and what; None where it does not."""

    text: str
    spans: dict[str, tuple[int, int] | None]


def townspeople(count: int, seed: int = 0) -> Iterator[Townsperson]:
    """Sentences such as "In Paris, Ann sells red apples." with what each one says."""
    draw = random.Random(seed)
    for _ in range(count):
        said = {kind: draw.choice(names) for kind, names in TOWN.items()}
        form = f"{QUIET * draw.randrange(5)}{draw.choice(FORMS)}{QUIET * draw.randrange(4)}"
        text, spans, end = "", dict[str, tuple[int, int] | None].fromkeys(TOWN), 0
        for piece in form.split("|"):
            text += said.get(piece, piece)
            if piece in TOWN:
                spans[piece] = end, len(text)
            end = len(text)
        yield Townsperson(text, spans)


def reader(folder: Path, *, context: int = 64, steps: int = 250) -> Path:
    """A BERT that marks the answers to "who?", "where?" and "what?", or its first token."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    words = wordpiece(context)
    people = list(townspeople(300))
    asked = [(f"{kind}?", each, each.spans[kind]) for each in people for kind in TOWN]
    given = words(
        [question for question, _, _ in asked],
        [each.text for _, each, _ in asked],
        padding=True,
        return_tensors="pt",
    )
    ends = torch.tensor(
        [
            [0, 0]
            if span is None
            else [given.char_to_token(row, at, 1) for at in (span[0], span[1] - 1)]
            for row, (_, _, span) in enumerate(asked)
        ]
    )
    torch.manual_seed(7)
    model = BertForQuestionAnswering(BertConfig(**_bert(len(words), context, trained=steps > 0)))
    _train(model, given, {"start_positions": ends[:, 0], "end_positions": ends[:, 1]}, steps)
    return _saved(folder, model, words, None)


def random_reader(folder: Path) -> Path:
    """A reader that nobody trained."""
    return reader(folder, steps=0)


def tagger(folder: Path, *, context: int = 64, steps: int = 200) -> Path:
    """A BERT that marks persons (PER), places (LOC) and goods (ARTICLE), as B- and I-."""
    import torch
    from transformers import BertConfig, BertForTokenClassification

    words = wordpiece(context)
    names = ["O", *(f"{mark}-{kind}" for kind in KINDS.values() for mark in "BI")]
    people = list(townspeople(300))
    given = words(
        [each.text for each in people],
        padding=True,
        return_tensors="pt",
        return_special_tokens_mask=True,
    )
    labels = -100 * given.pop("special_tokens_mask")  # nothing is learned of these
    for row, each in enumerate(people):
        for kind, span in each.spans.items():
            tokens = dict.fromkeys(
                given.char_to_token(row, at)
                for at in range(*(span or (0, 0)))
                if each.text[at] != " "
            )
            for number, place in enumerate(tokens):
                labels[row, place] = names.index(f"{'I' if number else 'B'}-{KINDS[kind]}")
    torch.manual_seed(8)
    model = BertForTokenClassification(
        BertConfig(id2label=dict(enumerate(names)), **_bert(len(words), context, trained=steps > 0))
    )
    _train(model, given, {"labels": labels}, steps)
    return _saved(folder, model, words, None)


def random_tagger(folder: Path) -> Path:
    """A tagger that nobody trained."""
    return tagger(folder, steps=0)


def canine(folder: Path, head: str) -> Path:
    """A folder whose tokenizer does not say where its tokens stand, which is seen before its
    weights are; there are none."""
    from transformers import CanineConfig, CanineTokenizer

    CanineConfig(architectures=[f"CanineFor{head}"]).save_pretrained(folder)
    CanineTokenizer().save_pretrained(folder)
    (folder / "model.safetensors").touch()
    return folder


def tokenizer(context: int, *, chat: bool, padding: str = "left") -> Any:
    """A byte-level BPE trained on LINES; one that pads on the right puts marks around a text."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    bpe = byte_level(LINES, 400, ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    if padding == "right":
        bpe.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>",
            pair="<s> $A </s> $B:1 </s>:1",
            special_tokens=[("<s>", 1), ("</s>", 2)],
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=context,
        padding_side=padding,
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    if chat:
        fast.chat_template = TEMPLATE
    return fast


def byte_level(lines: Iterable[str], size: int, special: Sequence[str]) -> Any:
    """A byte-level BPE of the library tokenizers, of at most `size` tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return bpe


def wordpiece(context: int) -> Any:
    """BERT's own kind of tokenizer, with the words of townspeople; some come in two pieces."""
    from transformers import BertTokenizer

    said = " ".join([*LINES, QUIET, *FORMS, *TOWN, *(" ".join(each) for each in TOWN.values())])
    words = set("".join(char if char.isalnum() else " " for char in said.lower()).split())
    pieces = {"wil", "##helmina", "reyk", "##javik", "umbr", "##ellas"}
    chars = set("".join(words)) | set(".,?()!")
    known = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        *sorted(words - {"wilhelmina", "reykjavik", "umbrellas"} | pieces | chars),
        *sorted(f"##{char}" for char in chars),
    ]
    vocabulary = {word: place for place, word in enumerate(known)}
    return BertTokenizer(vocab=vocabulary, model_max_length=context)


def _bert(vocabulary: int, context: int, *, trained: bool = False) -> dict[str, Any]:
    """Weights to be trained begin small, others are large enough that answers vary."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 2 if trained else 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": context,
        "initializer_range": 0.1 if trained else 0.5,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": 0,
    }


def _seq2seq(folder: Path, make: Any, config: Any, says: dict[str, Any], **fields: Any) -> Path:
    import torch

    words = tokenizer(CONTEXT, chat=False)
    torch.manual_seed(3)
    model = make(config(vocab_size=len(words), d_model=32, **{**_MARKS, **fields}))
    return _saved(folder, model, words, says)


def _train(model: Any, given: Any, labels: dict[str, Any], steps: int) -> None:
    """A few rounds over everything, in batches drawn with a seed, by one thread: several wait for
    each other longer than they compute where other processes want the cores, too."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = {**given, **labels}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    draw = torch.Generator().manual_seed(10)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(given["input_ids"]), (32,), generator=draw)
        model(**{name: tensor[rows] for name, tensor in whole.items()}).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)


def _saved(folder: Path, model: Any, words: Any, says: dict[str, Any] | None) -> Path:
    from transformers.utils import logging

    logging.disable_progress_bar()
    if says is not None:
        for name, value in says.items():
            setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


_MARKS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
