"""`hf:` models, tiny real ones: token for token what transformers itself gives."""

import asyncio
import logging.handlers
import shutil

import msgspec
import pytest

import onrecord as on
from onrecord.errors import (
    ContextLengthError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    UnknownNameError,
    UsageError,
)
from onrecord.messages import (
    Completion,
    Media,
    Message,
    TextDelta,
    ToolSchema,
    Usage,
    text_message,
)
from onrecord.models import names
from onrecord.models.model import Parameters, Request
from onrecord.models.transformers.generating import _longest
from onrecord.models.transformers.model import LONGEST, HFModel
from tests.models import tiny_models

pytestmark = pytest.mark.anyio
KINDS = ["causal", "gpt2", "t5", "bart"]
TEXTS = ["the cat sat", "water", "a pump delivers four litres", "naïve café, 東京 🙂", "dog by"]

# What is asked, and the same in the words of transformers.
STRATEGIES = {
    "greedy": ({"temperature": 0.0}, {}),
    "nothing said": ({}, {}),
    "beams": ({"num_beams": 3}, {"num_beams": 3}),
    "long beams": (
        {"num_beams": 4, "length_penalty": 2.0},
        {"num_beams": 4, "length_penalty": 2.0},
    ),
    "short beams": (
        {"num_beams": 2, "length_penalty": -1.0},
        {"num_beams": 2, "length_penalty": -1.0},
    ),
    "temperature": ({"temperature": 1.7, "seed": 11}, {"temperature": 1.7, "do_sample": True}),
    "top_k": ({"top_k": 5, "seed": 12}, {"top_k": 5, "do_sample": True}),
    "top_p": ({"top_p": 0.7, "seed": 13}, {"top_p": 0.7, "do_sample": True}),
    "min_p": ({"min_p": 0.05, "seed": 14}, {"min_p": 0.05, "do_sample": True}),
    "all of drawing": (
        {"temperature": 2.5, "top_k": 50, "top_p": 0.95, "min_p": 0.001, "seed": 15},
        {"temperature": 2.5, "top_k": 50, "top_p": 0.95, "min_p": 0.001, "do_sample": True},
    ),
    "penalty": ({"repetition_penalty": 1.4}, {"repetition_penalty": 1.4}),
    "penalty and beams": (
        {"repetition_penalty": 1.4, "num_beams": 3},
        {"repetition_penalty": 1.4, "num_beams": 3},
    ),
    "at least": ({"min_tokens": 12}, {"min_new_tokens": 12}),
    "penalty and drawing": (
        {"repetition_penalty": 1.2, "temperature": 1.0, "seed": -3},
        {"repetition_penalty": 1.2, "do_sample": True},
    ),
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def hf(tiny):
    """The model of a tiny folder, loaded once."""
    made = {}
    return lambda name: made.setdefault(name, HFModel(str(tiny(name))))


def asking(text="the cat sat", **parameters):
    return Request((text_message("user", text),), Parameters(**{"max_tokens": 16} | parameters))


async def ask(model, text="the cat sat", **parameters):
    return (await events(model, asking(text, **parameters)))[-1]


async def events(model, request):
    found = [event async for event in model.stream(request)]
    assert all(isinstance(event, TextDelta) for event in found[:-1])
    assert isinstance(found[-1], Completion)
    assert "".join(event.text for event in found[:-1]) == found[-1].text
    return found


def oracle(folder, text, seed=None, **said):
    """The tokens of transformers' own `generate`, in a model loaded for it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    coder = AutoConfig.from_pretrained(folder).is_encoder_decoder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = (AutoModelForSeq2SeqLM if coder else AutoModelForCausalLM).from_pretrained(folder)
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": text}]
        given = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt"
        )
    else:
        given = tokenizer(text, return_tensors="pt")
        given.pop("token_type_ids", None)
    if seed is not None:
        torch.manual_seed(seed)
    # transformers' own top_k of 50 is a choice that nobody made here.
    made = model.generate(**given, **{"max_new_tokens": 16, "top_k": 0} | said)
    new = made[0, 1 if coder else given["input_ids"].shape[1] :].tolist()
    return new, tokenizer.decode(
        [token for token in new if token not in tokenizer.all_special_ids],
        clean_up_tokenization_spaces=False,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_every_strategy_is_that_of_transformers(tiny, hf, kind, strategy):
    asked, said = STRATEGIES[strategy]
    for text in TEXTS[:2]:
        answer = await ask(hf(kind), text, **asked)
        tokens, words = oracle(tiny(kind), text, asked.get("seed"), **said)
        assert answer.text == words
        assert answer.usage.output == len(tokens)
        assert answer.warnings == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", [{}, {"num_beams": 3}, {"temperature": 1.5, "top_p": 0.9}])
async def test_together_is_as_alone(hf, kind, asked):
    model = hf(kind)
    seeds = range(len(TEXTS)) if "temperature" in asked else [None] * len(TEXTS)
    each = [
        {**asked, "seed": seed, "max_tokens": 6 + 3 * place, "logprobs": 0}
        for place, seed in enumerate(seeds)
    ]
    alone = [await ask(model, text, **said) for text, said in zip(TEXTS, each, strict=True)]
    together = await asyncio.gather(
        *(ask(model, text, **said) for text, said in zip(TEXTS, each, strict=True))
    )
    for one, other in zip(alone, together, strict=True):
        assert (one.text, one.usage, one.finish) == (other.text, other.usage, other.finish)
        for mine, theirs in zip(one.logprobs, other.logprobs, strict=True):
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-4)


async def test_thirty_two_callers_share_batches(hf):
    model = hf("causal")
    alone = {text: (await ask(model, text)).text for text in TEXTS}
    batches = []
    run = model._loaded()[1]._run

    def counted(jobs):
        batches.append(len(jobs))
        run(jobs)

    model._loaded()[1]._run = counted
    try:
        answers = await asyncio.gather(*(ask(model, TEXTS[i % 5]) for i in range(32)))
    finally:
        model._loaded()[1]._run = run
    assert [answer.text for answer in answers] == [alone[TEXTS[i % 5]] for i in range(32)]
    assert sum(batches) == 32
    assert max(batches) > 1


async def test_several_threads_and_loops(hf):
    model = hf("t5")
    expected = (await ask(model)).text
    answers = await asyncio.gather(
        *(asyncio.to_thread(lambda: asyncio.run(ask(model)).text) for _ in range(6))
    )
    assert answers == [expected] * 6


async def test_a_caller_who_leaves_takes_nobody_along(hf):
    model = hf("causal")
    expected = [(await ask(model, text, max_tokens=40)).text for text in TEXTS]
    tasks = [asyncio.create_task(ask(model, text, max_tokens=40)) for text in TEXTS]
    stream = model.stream(asking(max_tokens=100))  # answered together with them
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert isinstance(await anext(stream), TextDelta)
    await stream.aclose()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    for place in (0, 2, 3, 4):
        assert answers[place].text == expected[place]


@pytest.mark.parametrize("asked", [{}, {"num_beams": 2}])
async def test_nobody_waits_for_an_answer_that_nobody_wants(hf, asked):
    model = hf("t5")
    steps = []
    hook = model._loaded()[0].model.register_forward_hook(lambda *_: steps.append(1))
    try:
        task = asyncio.create_task(ask(model, max_tokens=3000, min_tokens=3000, **asked))
        while len(steps) < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        await ask(model, max_tokens=2)  # the worker is free again
    finally:
        hook.remove()
    assert len(steps) < 3000


@pytest.mark.parametrize("kind", ["causal", "t5"])
@pytest.mark.parametrize("beams", [1, 3])
async def test_a_stop_text_ends_the_answer_and_is_not_in_it(hf, kind, beams):
    model = hf(kind)
    whole = await ask(model, max_tokens=20, num_beams=beams)
    stop = whole.text[6:9]
    cut = await ask(model, max_tokens=20, num_beams=beams, stop=("never there", stop), logprobs=0)
    assert stop not in cut.text
    if beams == 1:  # of several beams, one without the stop text may be the likeliest
        assert cut.finish == "stop"
        assert cut.usage.output < whole.usage.output
        assert cut.text == whole.text[: whole.text.index(stop)]
    # characters of several tokens read as half ones when each token is read alone
    assert len(cut.logprobs) <= cut.usage.output


async def test_a_stop_text_does_not_count_before_min_tokens(hf):
    whole = await ask(hf("causal"), max_tokens=20)
    early = await ask(
        hf("causal"), max_tokens=20, min_tokens=15, stop=(whole.text[2:4],), logprobs=0
    )
    assert early.usage.output >= 15
    assert early.text.startswith(whole.text[:8])


async def test_beams_with_a_stop_text_are_those_of_transformers(tiny, hf):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("gpt2"))
    whole = await ask(hf("gpt2"), num_beams=3)
    stop = next(char for char in whole.text[1:] if char.isascii() and char.isprintable())
    ours = await ask(hf("gpt2"), num_beams=3, stop=(stop,))
    theirs = oracle(
        tiny("gpt2"), "the cat sat", num_beams=3, stop_strings=[stop], tokenizer=tokenizer
    )[1]
    assert ours.text == theirs.partition(stop)[0]


async def test_log_probabilities_are_the_models_own(tiny, hf):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Not those of what was drawn from: a penalty and a cut change nothing about them.
    asked = {"temperature": 2.0, "top_k": 8, "seed": 4, "repetition_penalty": 1.3}
    answer = await ask(hf("gpt2"), logprobs=3, **asked)
    model = AutoModelForCausalLM.from_pretrained(tiny("gpt2"))
    tokenizer = AutoTokenizer.from_pretrained(tiny("gpt2"))
    prompt = tokenizer("the cat sat")["input_ids"]
    said = {"temperature": 2.0, "top_k": 8, "repetition_penalty": 1.3, "do_sample": True}
    tokens, _ = oracle(tiny("gpt2"), "the cat sat", 4, **said)
    with torch.no_grad():
        logits = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    assert len(answer.logprobs) == len([token for token in tokens if token != 2])
    for place, token in enumerate(answer.logprobs):
        row = logits[len(prompt) - 1 + place]
        assert token.logprob == pytest.approx(float(row[tokens[place]]), abs=1e-3)
        assert [value for _, value in token.top] == pytest.approx(
            row.topk(3).values.tolist(), abs=1e-3
        )


async def test_log_probabilities_of_beams(tiny, hf):
    greedy = await ask(hf("t5"), logprobs=1)
    beams = await ask(hf("t5"), logprobs=1, num_beams=3)
    assert len(greedy.logprobs) == len(beams.logprobs) == 16
    assert all(token.top[0] == (token.text, token.logprob) for token in greedy.logprobs)
    total = sum(token.logprob for token in beams.logprobs)
    assert total >= sum(token.logprob for token in greedy.logprobs) - 1e-4  # equal lengths


async def test_a_seed_repeats_and_no_seed_does_not(hf):
    model = hf("causal")
    one, same, other = [await ask(model, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert one.text == same.text != other.text
    drawn = [(await ask(model, temperature=3.0)).text for _ in range(3)]
    assert len(set(drawn)) == 3


async def test_usage_and_finish(tiny, hf):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("gpt2"))
    answer = await ask(hf("gpt2"), max_tokens=7)
    assert answer.usage == Usage(input=len(tokenizer("the cat sat")["input_ids"]), output=7)
    assert answer.finish == "length"
    assert answer.model == hf("gpt2").name == f"hf:{tiny('gpt2')}"
    # BART's last token is forced to be its end, which is no end of its own.
    assert (await ask(hf("bart"), max_tokens=7)).finish == "length"


async def test_an_answer_that_ends_by_itself(tiny, tmp_path):
    whole, _ = oracle(tiny("gpt2"), "the cat sat")
    folder = shutil.copytree(tiny("gpt2"), tmp_path / "ends")
    config = msgspec.json.decode((folder / "generation_config.json").read_bytes())
    config["eos_token_id"] = [2, whole[4]]
    (folder / "generation_config.json").write_bytes(msgspec.json.encode(config))
    answer = await ask(HFModel(str(folder)))
    assert (answer.finish, answer.usage.output) == ("stop", whole.index(whole[4]) + 1)
    forced = await ask(HFModel(str(folder)), min_tokens=10)
    assert forced.usage.output >= 10


# What the folder says --------------------------------------------------------------------------


async def test_what_is_left_to_the_model_is_as_its_folder_says(tmp_path):
    says = {"do_sample": True, "temperature": 0.9, "top_k": 7, "repetition_penalty": 1.2}
    folder = tiny_models.causal(tmp_path / "says", **says, max_new_tokens=9)
    model = HFModel(str(folder))
    request = Request((text_message("user", "the cat sat"),), Parameters(seed=5))
    answer = (await events(model, request))[-1]
    assert answer.text == oracle(folder, "the cat sat", 5, **says, max_new_tokens=9)[1]
    decoding = model.decoding(Parameters(top_k=3))
    assert (decoding.draws, decoding.temperature, decoding.top_k) == (True, 0.9, 3)
    assert (decoding.repetition_penalty, decoding.max_tokens) == (1.2, 9)


async def test_what_is_asked_for_is_not_changed_by_the_folder(tiny, tmp_path, hf):
    folder = tiny_models.causal(
        tmp_path / "says",
        do_sample=True,
        temperature=0.6,
        top_k=3,
        top_p=0.5,
        repetition_penalty=1.5,
        max_new_tokens=3,
    )
    asked = {"temperature": 0.0, "repetition_penalty": 1.0}
    assert (await ask(HFModel(str(folder)), **asked)).text == (await ask(hf("causal"))).text
    drawn = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "seed": 3}
    assert (await ask(HFModel(str(folder)), **drawn)).text == (
        await ask(hf("causal"), temperature=1.0, seed=3)
    ).text


async def test_what_belongs_to_the_model_is_kept(tmp_path):
    says = {"no_repeat_ngram_size": 2, "num_beams": 3, "length_penalty": 0.5, "min_length": 5}
    folder = tiny_models.bart(tmp_path / "says", **says, max_length=12, early_stopping=True)
    model = HFModel(str(folder))
    request = Request((text_message("user", "the cat sat"),))
    answer = (await events(model, request))[-1]
    tokens, words = oracle(folder, "the cat sat", max_new_tokens=11)
    assert (answer.text, answer.usage.output) == (words, len(tokens))
    assert model.decoding(Parameters()).num_beams == 3
    assert model.decoding(Parameters(temperature=0.0)).num_beams == 1


async def test_what_is_not_done_is_said(tmp_path):
    folder = tiny_models.causal(tmp_path / "says")
    config = msgspec.json.decode((folder / "generation_config.json").read_bytes())
    config["penalty_alpha"] = 0.6
    (folder / "generation_config.json").write_bytes(msgspec.json.encode(config))
    answer = await ask(HFModel(str(folder)))
    assert "penalty_alpha" in answer.warnings[0]
    no_effect = await ask(HFModel(str(folder)), length_penalty=2.0)
    assert "length_penalty has no effect" in no_effect.warnings[0]


async def test_an_answer_has_an_end_where_nobody_says_one(hf):
    request = Request((text_message("user", "the cat"),))
    answer = (await events(hf("t5"), request))[-1]
    assert answer.usage.output == LONGEST or answer.finish == "stop"


# Lengths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_an_input_that_is_too_long_is_an_error(tiny, kind):
    said = logging.getLogger("transformers")
    lines = logging.handlers.BufferingHandler(100)
    said.addHandler(lines)
    try:
        with pytest.raises(
            ContextLengthError, match=r"has \d+ tokens, and the model reads \d+"
        ) as bad:
            await ask(HFModel(str(tiny(kind))), "the cat sat on the mat " * 60)
    finally:
        said.removeHandler(lines)
    assert not bad.value.sent
    assert not lines.buffer  # nothing else is written over whatever owns the terminal


async def test_an_answer_ends_with_the_context_and_says_so(hf):
    answer = await ask(hf("gpt2"), "the cat sat on the mat " * 4, max_tokens=1000)
    assert answer.usage.input + answer.usage.output == 64
    assert answer.finish == "length"
    assert "ends with the model's context" in answer.warnings[0]
    with pytest.raises(ModelRefusedError, match="must have 60 tokens"):
        await ask(hf("gpt2"), "the cat sat on the mat " * 4, max_tokens=1000, min_tokens=60)


async def test_padding_takes_no_position_from_a_model_with_learned_ones(hf):
    long, short = "the cat sat on the mat " * 4, "water"
    alone = [await ask(hf("gpt2"), text, max_tokens=50) for text in (long, short)]
    both = await asyncio.gather(*(ask(hf("gpt2"), text, max_tokens=50) for text in (long, short)))
    assert [one.text for one in alone] == [one.text for one in both]


@pytest.mark.parametrize("kind", ["causal", "longrope"])
async def test_padding_takes_no_row_beyond_where_it_would_be_alone(tiny, kind):
    model = HFModel(str(tiny(kind)))
    # Together they would be padded beyond the context; and beyond where the positions of `longrope`
    # are computed in another way, for all rows of a batch.
    asked = [("the cat sat on the mat " * 9, 8), ("water", 80), ("a pump", 12)]
    alone = [await ask(model, text, max_tokens=most) for text, most in asked]
    batches = []
    run = model._loaded()[1]._run
    model._loaded()[1]._run = lambda jobs: [batches.append(list(jobs)), run(jobs)]
    together = await asyncio.gather(*(ask(model, text, max_tokens=most) for text, most in asked))
    assert [one.text for one in together] == [one.text for one in alone]
    for jobs in batches:
        padded = max(len(job.ids) for job in jobs) + max(job.limit for job in jobs)
        assert len(jobs) == 1 or padded <= model._loaded()[0].places
    assert model._loaded()[0].places == (32 if kind == "longrope" else 128)


async def test_an_answer_that_nobody_bounded_says_what_ended_it(hf):
    request = Request((text_message("user", "the cat"),))
    answer = (await events(hf("gpt2"), request))[-1]
    assert (answer.finish, answer.usage.input + answer.usage.output) == ("length", 64)
    assert answer.warnings == (
        f"The answer ends with the model's context, after {answer.usage.output} tokens.",
    )
    endless = (await events(hf("t5"), request))[-1]
    if endless.finish == "length":
        assert endless.warnings[0].startswith(f"The answer was ended after {LONGEST} tokens")


def test_a_decoder_writes_as_many_tokens_as_its_own_files_say():
    from transformers import BartConfig, LEDConfig, T5Config

    assert _longest(BartConfig(max_position_embeddings=90)) == 89
    assert _longest(LEDConfig(max_decoder_position_embeddings=70)) == 69
    assert _longest(T5Config()) is None


# Words ----------------------------------------------------------------------------------------


async def test_a_marker_in_a_message_is_only_words(tiny, hf):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("causal"))
    marker = tokenizer.convert_tokens_to_ids("<|im_end|>")
    plain = (await ask(hf("causal"), "a b")).usage.input
    job, _ = hf("causal")._prepare(asking("a<|im_end|>b</s>"), asyncio.get_running_loop())
    assert job.ids.count(marker) == 1  # the template's own
    assert 2 not in job.ids
    assert len(job.ids) > plain + 4
    job, _ = hf("gpt2")._prepare(asking("a<|im_end|>b</s>"), asyncio.get_running_loop())
    assert marker not in job.ids and 2 not in job.ids


async def test_messages_without_a_template_are_joined(tiny, hf):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny("t5"))
    turns = (text_message("system", "summarize:"), text_message("user", "the cat"))
    job, _ = hf("t5")._prepare(Request(turns), asyncio.get_running_loop())
    assert tokenizer.decode(job.ids) == "summarize:\n\nthe cat"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request((Message("user", (Media("image/png", "data:,"),)),)), "holds a Media"),
        (Request((text_message("tool", "x"),)), "no tools here"),
        (Request((text_message("user", "x"),), tools=(ToolSchema("f", "", {}),)), "no.* tools"),
        (asking(presence_penalty=1.0), "no presence_penalty"),
        (asking(frequency_penalty=-1.0), "no frequency_penalty"),
        (asking(num_beams=2, temperature=1.0), "cannot go with temperature"),
        (asking(num_beams=2, top_p=0.5), "cannot go with top_p"),
        (asking(temperature=-1.0), "temperature must be"),
        (asking(temperature=float("nan")), "temperature must be"),
        (asking(top_p=1.5), "top_p must be above 0"),
        (asking(top_k=-1), "top_k must be"),
        (asking(min_p=2.0), "min_p must be"),
        (asking(max_tokens=0), "max_tokens must be"),
        (asking(min_tokens=20), r"min_tokens \(20\) is above max_tokens \(16\)"),
        (asking(num_beams=0), "num_beams must be"),
        (asking(repetition_penalty=0.0), "repetition_penalty must be"),
        (asking(logprobs=-1), "logprobs must be"),
        (asking(seed=2**64), "seed must be"),
        (asking(stop=("",)), "stop text is empty"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anything_is(hf, request_, said):
    with pytest.raises(ModelRefusedError, match=said) as refused:
        await events(hf("causal"), request_)
    assert not refused.value.sent
    assert "Traceback" not in str(refused.value)


async def test_empty_messages_are_refused(hf):
    with pytest.raises(ModelRefusedError, match="nothing to answer"):
        await ask(hf("gpt2"), "")
    assert (await ask(hf("causal"), "")).usage.input > 0  # a template writes around it


async def test_half_a_surrogate_pair_is_no_traceback(hf):
    assert (await ask(hf("gpt2"), "half \ud83d")).usage.output == 16


async def test_a_schema_that_is_not_enforced_is_said(hf):
    request = msgspec.structs.replace(asking(), schema={"type": "object"})
    answer = (await events(hf("causal"), request))[-1]
    assert "JSON schema" in answer.warnings[0]


async def test_a_model_that_fails_tells_every_caller(tiny):
    model = HFModel(str(tiny("causal")))

    def fails(*_):
        raise RuntimeError("the chip melted")

    hook = model._loaded()[0].model.register_forward_hook(fails)
    answers = await asyncio.gather(*(ask(model) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in answers] == [ModelError] * 3
    assert "the model failed: RuntimeError: the chip melted" in str(answers[0])
    hook.remove()
    assert (await ask(model)).usage.output == 16


# Names and folders ----------------------------------------------------------------------------


async def test_a_name_gives_one_model_until_its_folder_changes(tiny, tmp_path):
    folder = shutil.copytree(tiny("causal"), tmp_path / "mine")
    model = names.model(f"hf:{folder}")
    assert names.model(f"hf:{folder}") is model
    again = HFModel(str(folder))
    assert again.version == model.version == HFModel(str(tiny("causal"))).version
    (folder / "README.md").write_text("a card says nothing about answers")
    assert HFModel(str(folder)).version == model.version
    config = folder / "generation_config.json"
    config.write_text(config.read_text().replace("{", '{"top_k": 3,', 1))
    assert names.model(f"hf:{folder}") is not model
    assert names.model(f"hf:{folder}").version != model.version


async def test_it_is_on_the_record(tiny):
    @on.prompt
    async def say(text: str) -> str:
        """Say it."""

    with on.recording() as run:
        text = await say.using(f"hf:{tiny('causal')}")("the cat")
    assert text
    record = next(record for record in run.records if record.kind == "model")
    assert record.cost == 0
    assert record.usage.output > 0


def test_the_device_is_shown_and_can_be_set(tiny):
    model = HFModel(str(tiny("causal")), device="cpu", dtype="bfloat16")
    assert (model.device.name, model.device.dtype) == ("cpu", "bfloat16")
    assert "bfloat16" in repr(model)
    assert model.version.endswith("-cpu-bfloat16")
    with pytest.raises(UsageError, match="no device 'cuda:77'"):
        _ = HFModel(str(tiny("causal")), device="cuda:77").device
    with pytest.raises(UsageError, match="no number format 'int3'"):
        _ = HFModel(str(tiny("causal")), dtype="int3").device


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("config.json", r"lacks config\.json"),
        ("model.safetensors", "lacks weights"),
        ("tokenizer", "lacks a tokenizer"),
    ],
)
def test_a_folder_that_lacks_a_file_is_one_sentence(tiny, tmp_path, lost, said):
    folder = shutil.copytree(tiny("causal"), tmp_path / "part")
    for path in folder.iterdir():
        if path.name.startswith(lost):
            path.unlink()
    with pytest.raises(UnknownNameError, match=said):
        HFModel(str(folder))


async def test_a_damaged_folder_is_one_sentence(tiny, tmp_path):
    folder = shutil.copytree(tiny("causal"), tmp_path / "damaged")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelRefusedError, match="cannot be loaded"):
        await ask(HFModel(str(folder)))
    (folder / "config.json").write_text("[")
    with pytest.raises(ModelRefusedError, match="cannot be loaded"):
        await ask(HFModel(str(folder)))


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"model_type": "llamaxyz"}, "does not know the architecture 'llamaxyz'"),
        ("config.json", {"hidden_size": 64}, "other shapes than config.json says"),
        ("config.json", {"vocab_size": "many"}, r"'vocab_size' expected int, got str"),
        (
            "config.json",
            {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}},
            "code of its own, which is not run",
        ),
        ("config.json", {"num_hidden_layers": 3}, "hold no weights for model.layers.2"),
        ("config.json", {"model_type": "bert"}, "hold no weights for"),
        ("config.json", {"model_type": "vit"}, "are not made for this task"),
        ("generation_config.json", b"{bad", "generation_config.json cannot be read"),
        ("generation_config.json", {"temperature": "hot"}, "temperature: 'hot', which is no num"),
        ("tokenizer.json", b"nope", "cannot be loaded: JSONDecodeError"),
        ("chat_template.jinja", b"{% for", "chat template cannot be read: .*, line 1"),
    ],
)
async def test_a_folder_that_does_not_fit_together_is_one_sentence(
    tiny, tmp_path, file, change, said
):
    folder = shutil.copytree(tiny("causal"), tmp_path / "odd")
    if isinstance(change, dict):
        change = msgspec.json.encode(msgspec.json.decode((folder / file).read_bytes()) | change)
    (folder / file).write_bytes(change)
    with pytest.raises(ModelRefusedError, match=said) as refused:
        await ask(HFModel(str(folder)))
    assert "\n" not in str(refused.value) and not refused.value.sent


def test_an_empty_folder_says_all_that_it_lacks(tmp_path):
    with pytest.raises(
        UnknownNameError, match=r"lacks config\.json and weights .* and a tokenizer"
    ):
        HFModel(str(tmp_path))


async def test_a_model_of_another_task_is_not_filled_with_random_weights(tiny):
    with pytest.raises(ModelRefusedError, match="hold no weights for"):
        await ask(HFModel(str(tiny("encoder"))))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "~/nowhere", "a/b/c"])
def test_a_folder_that_is_not_there(name):
    with pytest.raises(UnknownNameError, match="no such folder"):
        HFModel(name)


def test_a_name_that_is_none():
    with pytest.raises(UnknownNameError, match="neither a folder nor a name"):
        HFModel("owner/")


@pytest.mark.parametrize("name", ["somebody/something", "bert"])
async def test_the_hub_out_of_reach(name):
    with pytest.raises(ModelUnavailableError, match="cannot be reached") as away:
        await ask(HFModel(name))
    assert not away.value.sent


def test_without_the_extra(tiny, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a)
    )
    with pytest.raises(on.OnrecordError, match=r"pip install 'onrecord\[hf\]'"):
        names.model(f"hf:{tiny('causal')}")


async def test_a_closed_model_lets_go_of_its_callers(tiny):
    model = HFModel(str(tiny("causal")))
    task = asyncio.create_task(ask(model, max_tokens=100, min_tokens=100))
    while model._made is None or not model._made[1]._now:
        await asyncio.sleep(0.001)
    await asyncio.to_thread(model.close)
    with pytest.raises(ModelError, match="was closed"):
        await task
