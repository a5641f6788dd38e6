"""Tiny real transformers models, made in a second, with tokenizers trained on a few sentences.

Their words mean nothing: random weights, large enough that the answers vary. Each function writes a
folder as `save_pretrained` does and returns it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

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


def causal(folder: Path, *, chat: bool = True, context: int = CONTEXT, **folder_says: Any) -> Path:
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
            **_MARKS,
        )
    )
    return _saved(folder, model, words, folder_says)


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
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    words = tokenizer(CONTEXT, chat=False)
    torch.manual_seed(3)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(words),
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
            initializer_factor=2.0,
            pad_token_id=0,
            eos_token_id=2,
        )
    )
    return _saved(folder, model, words, folder_says)


def bart(folder: Path, **folder_says: Any) -> Path:
    """An encoder-decoder model with learned positions, whose last token is forced to be the end."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    words = tokenizer(CONTEXT, chat=False)
    torch.manual_seed(4)
    model = BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(words),
            d_model=32,
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
            **_MARKS,
        )
    )
    return _saved(folder, model, words, folder_says)


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


def tokenizer(context: int, *, chat: bool, padding: str = "left") -> Any:
    """A byte-level BPE trained on LINES; one that pads on the right puts marks around a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
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


def _bert(vocabulary: int, context: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": context,
        "initializer_range": 0.5,
        "pad_token_id": 0,
    }


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
