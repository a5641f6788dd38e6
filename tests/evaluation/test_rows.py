"""Training rows: which calls become one, in which form, and that trainers take them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onrecord as on
from onrecord.errors import OutputError, StorageError, UsageError
from onrecord.evaluation.dataset import Dataset
from onrecord.evaluation.rows import Row, rows, write_rows
from onrecord.messages import (
    Completion,
    Finish,
    Media,
    Message,
    Part,
    Text,
    ToolCall,
    ToolResult,
    text_message,
)
from onrecord.models.calling import complete
from onrecord.models.model import Request
from onrecord.models.scripted import Scripted
from onrecord.models.wrappers.cached import cached
from onrecord.programs.flow import flow, step
from onrecord.prompts.prompt import prompt
from onrecord.records.query import Query
from onrecord.records.record import Record, new_id, plain
from onrecord.records.store import Store

SYSTEM = text_message("system", "Be brief.")


@pytest.fixture
def store(project: Path) -> Store:
    return Store(project / ".onrecord")


def asked(text: str = "How many?") -> tuple[Message, ...]:
    return (SYSTEM, text_message("user", text))


def called(
    messages: Sequence[Message] = (), answer: Message | str = "28", /, **changes: Any
) -> Record:
    """A model call that ended well."""
    id = new_id()
    messages = tuple(messages or asked())
    if isinstance(answer, str):
        answer = text_message("assistant", answer)
    finish: Finish = changes.pop("finish", "stop")
    record = Record(
        *(id, id, None, "model", "openai:m", plain(Request(messages)), str(hash(messages)), 5),
        output=plain(Completion(answer, "m", finish=finish)),
        ended_ns=9,
        state="done",
        version="v1",
    )
    return msgspec.structs.replace(record, **changes)


def around(kind: str, **changes: Any) -> Record:
    id = new_id()
    record = Record(id, id, None, "step", "answer", {}, "k", 5, ended_ns=9, state="done")
    return msgspec.structs.replace(record, kind=kind, **changes)


def inside(parent: Record, call: Record, **changes: Any) -> Record:
    return msgspec.structs.replace(call, run=parent.run, parent=parent.id, **changes)


def feedback(about: Record, output: Any) -> Record:
    return around("feedback", input={"record": about.id}, output=output)


def texts(made: Sequence[Row]) -> list[list[tuple[str, str]]]:
    return [[(turn["role"], turn["content"]) for turn in row["messages"]] for row in made]


def test_a_model_call_is_a_row_with_its_provenance(store: Store) -> None:
    record = called()
    store.take([record])
    assert list(rows(store=store)) == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "How many?"},
                {"role": "assistant", "content": "28"},
            ],
            "provenance": {
                "record": record.id,
                "run": record.id,
                "key": record.key,
                "name": "openai:m",
                "version": "v1",
                "started_ns": 5,
                "feedback": "",
            },
        }
    ]
    (row,) = rows(format="prompt_completion", store=store)
    assert [len(row["prompt"]), row["completion"]] == [2, [{"role": "assistant", "content": "28"}]]
    (row,) = rows(format="completion", store=store)
    assert (row["prompt"], row["completion"]) == ("Be brief.\n\nHow many?\n\n", "28")
    assert list(rows(Query(name="openai:other"), store=store)) == []


def test_rows_of_what_was_really_called(project: Path) -> None:
    """A prompt whose first answer did not fit asks again: one row, of the good answer, under the
    question as it was."""

    @prompt(model=Scripted(["prose", '{"number": 28}', '{"number": 3}']))
    async def count(question: str) -> dict[str, int]:
        """Count."""

    @flow
    async def ask() -> list[dict[str, int]]:
        return [await count("leave"), await count("arms")]

    assert ask.run() == [{"number": 28}, {"number": 3}]
    made = rows()
    arms, leave = list(made)
    assert made.left_out == {"an answer that was repaired afterwards": 1}
    for row, question, answer in ((arms, "arms", 3), (leave, "leave", 28)):
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
        assert question in row["messages"][1]["content"]
        assert json.loads(row["messages"][2]["content"]) == {"number": answer}
    assert "prose" not in json.dumps([arms, leave])
    assert len(list(rows(format="prompt_completion"))) == 2


def test_a_prompt_that_gave_up_teaches_nothing(project: Path) -> None:
    @prompt(model=Scripted("prose"), repairs=2)
    async def count(question: str) -> dict[str, int]:
        """Count."""

    with pytest.raises(OutputError):
        count.run("leave")
    made = rows()
    assert list(made) == []
    assert made.left_out == {"the step around it did not end well": 3}


def test_what_was_made_in_an_experiment_is_no_row(project: Path) -> None:
    @on.prompt(model=on.Scripted("Paris"))
    async def capital(country: str) -> str:
        """The capital."""

    judge = on.judge("Is it right?", model=on.Scripted('{"reason": "r", "verdict": "pass"}'))
    capital.run("France")
    on.evaluate.run(capital, on.Dataset([on.Case("1", "Italy", "Rome")]), [judge])
    rows = on.rows()
    assert [each["messages"][-1]["content"] for each in rows] == ["Paris"]
    assert rows.left_out == {"made in an experiment, whose cases are for measuring": 2}


def test_rows_and_cases_from_postgresql(postgres: str, project: Path) -> None:
    store = Store(project / ".onrecord", postgres)
    flows = [around("flow", name=f"f{n}", output=str(n)) for n in range(600)]
    calls = [inside(each, called(asked(str(n)), str(n))) for n, each in enumerate(flows)]
    store.take([*flows, *calls, feedback(calls[0], {"correction": "zero"})])
    made = list(rows(store=store))
    assert len(made) == 600
    assert made[-1]["messages"][-1]["content"] == "zero"
    assert len(Dataset.from_records(store=store)) == 600
    store.close()


def test_several_calls_of_a_step_that_repair_nothing_are_rows(project: Path) -> None:
    model = Scripted(["one", "two"])

    @step
    async def both() -> None:
        for text in "ab":
            await complete(model, Request(asked(text)))

    both.run()
    assert [row["messages"][-1]["content"] for row in rows()] == ["two", "one"]


def test_a_conversation_is_one_chat_row_and_an_answer_each(store: Store) -> None:
    parent = around("flow")
    first = inside(parent, called(asked("a"), "A"))
    longer = (*asked("a"), text_message("assistant", "A"), text_message("user", "b"))
    second = inside(parent, called(longer, "B"))
    store.take([parent, first, second])
    made = rows(store=store)
    assert texts(list(made)) == [
        [
            ("system", "Be brief."),
            ("user", "a"),
            ("assistant", "A"),
            ("user", "b"),
            ("assistant", "B"),
        ]
    ]
    assert sum(made.left_out.values()) == 1
    assert len(list(rows(format="prompt_completion", store=store))) == 2


def test_an_answer_that_a_wrapper_passed_on_is_one_row(project: Path) -> None:
    model = Scripted("28", name="scripted:inner")

    @flow
    async def ask() -> str:
        return (await complete(cached(model), Request(asked()))).text

    assert [ask.run(), ask.run()] == ["28", "28"]
    made = rows()
    assert len(list(made)) == 1
    assert made.left_out == {
        "not made, but taken from another record": 1,
        "passed on by a wrapper, whose model's own call is taken": 1,
    }


def test_a_question_asked_with_and_without_a_wrapper_is_one_row(project: Path) -> None:
    model = Scripted("28", name="scripted:inner")

    @flow
    async def ask() -> None:
        await complete(cached(cached(model)), Request(asked()))
        await complete(model, Request(asked()))

    ask.run()
    made = rows()
    assert [row["provenance"]["name"] for row in made] == ["scripted:inner"]
    assert made.left_out == {
        "an equal question": 1,
        "passed on by a wrapper, whose model's own call is taken": 2,
    }
    assert len(list(rows(Query(name="scripted:inner")))) == 1
    assert list(rows(Query(name="cached:scripted:inner"))) == []


def test_a_correction_of_what_a_wrapper_passed_on_is_one_of_the_answer(store: Store) -> None:
    outer = called(asked(), "28", key="wrapped")
    inner = inside(outer, called(asked(), "28"))
    store.take([outer, inner, called(asked(), "27"), feedback(outer, {"correction": "29"})])
    assert [row["messages"][-1]["content"] for row in rows(store=store)] == ["29"]


def test_a_model_that_makes_its_answer_of_others_answers_itself(store: Store) -> None:
    above = around("flow")
    outer = inside(above, called(asked(), "both"))
    store.take([above, outer, *(inside(outer, called(asked(each), each)) for each in "ab")])
    made = rows(store=store)
    assert [row["messages"][-1]["content"] for row in made] == ["both"]
    assert made.left_out == {"inside another model call, whose answer is taken": 2}


def test_an_answer_that_was_repaired_through_a_wrapper_is_no_row(store: Store) -> None:
    above = around("step")
    told = (*asked(), text_message("assistant", "no"), text_message("user", "Again."))
    first = inside(above, called(asked(), "no"))
    second = inside(first, called(asked(), "no"))
    third = inside(above, called(told, "28"))
    fourth = inside(third, called(told, "28"))
    store.take([above, first, second, third, fourth])
    made = rows(store=store)
    assert texts(list(made)) == [
        [("system", "Be brief."), ("user", "How many?"), ("assistant", "28")]
    ]
    assert made.left_out["an answer that was repaired afterwards"] == 1


def parts(*parts: Part) -> Message:
    return Message("assistant", parts)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (called(redacted=True), "redacted"),
        (called(finish="length"), "cut off"),
        (called(finish="refused"), "declined"),
        (called(asked(), " "), "empty"),
        (called((Message("user", (Text("see"), Media("image/png", "data:…"))),)), "images"),
        (called(asked(), parts(ToolCall("1", "f", "[1"))), "no JSON object"),
        (called(asked(), parts(ToolCall("1", "f", "[1]"))), "no JSON object"),
        (called(input={"prompt": "elsewhere"}), "not a conversation"),
        (called(input={"messages": []}), "not a conversation"),
        (called(output="elsewhere"), "not a conversation"),
    ],
)
def test_what_makes_no_row_is_counted(store: Store, record: Record, reason: str) -> None:
    store.take([record, called(state="failed")])
    made = rows(store=store)
    assert list(made) == []
    assert [reason in each for each in made.left_out] == [True]


def test_a_query_that_cannot_give_rows_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no format 'alpaca'.*chat"):
        rows(format="alpaca", store=store)  # type: ignore[arg-type]  # a wrong one
    with pytest.raises(UsageError, match="made from model calls"):
        rows(Query(kinds=("flow",)), store=store)
    with pytest.raises(UsageError, match="ended well"):
        rows(Query(states=("failed",)), store=store)


def test_of_equal_questions_the_newest_or_the_corrected_counts(store: Store) -> None:
    old, middle, new = (called(asked(), each) for each in "abc")
    store.take([old, middle, new])
    assert [row["messages"][-1]["content"] for row in rows(store=store)] == ["c"]
    store.take([feedback(middle, {"correction": "right"})])
    made = rows(store=store)
    assert [row["messages"][-1]["content"] for row in made] == ["right"]
    assert made.left_out == {"an equal question": 2}


def test_feedback_on_a_call_counts_for_the_answers_in_it(store: Store) -> None:
    flows = [around("flow", output="28", name=f"f{n}") for n in range(6)]
    steps = [inside(each, around("step", output="28")) for each in flows]
    calls = [inside(each, called(asked(str(n)), "28")) for n, each in enumerate(steps)]
    store.take([*flows, *steps, *calls])
    store.take(
        [
            feedback(flows[0], {"value": False}),
            feedback(steps[1], {"value": "down"}),
            feedback(calls[2], {"correction": "29", "value": False}),
            feedback(flows[3], {"correction": "30"}),
            feedback(flows[4], {"correction": {"not": "text"}}),
        ]
    )
    made = rows(store=store)
    assert {row["messages"][1]["content"]: row["messages"][2]["content"] for row in made} == {
        "2": "29",
        "3": "30",
        "5": "28",
    }
    assert made.left_out == {
        "called bad by feedback, without a correction": 2,
        "corrected, and not in the form of the model's answer": 1,
    }
    chosen = list(rows(format="preference", store=store))
    assert [(row["chosen"], row["rejected"]) for row in chosen] == [
        (
            [{"role": "assistant", "content": right}],
            [{"role": "assistant", "content": "28"}],
        )
        for right in ("30", "29")
    ]
    assert chosen[0]["prompt"][-1] == {"role": "user", "content": "3"}
    assert all(row["provenance"]["feedback"] for row in chosen)


def test_a_structured_answer_is_corrected_in_its_form(store: Store) -> None:
    above = around("flow", output={"number": 28})
    call = inside(above, called(asked(), '{"number":  28}'))
    store.take([above, call, feedback(above, {"expected": {"number": 29}})])
    (row,) = rows(format="preference", store=store)
    assert row["chosen"][0]["content"] == '{"number":29}'
    assert row["rejected"][0]["content"] == '{"number":  28}'


def tools_called(n: int = 0) -> Record:
    call = ToolCall("c1", "days_of", '{"kind": "leave", "n": 1}')
    messages = (
        *asked(f"tools {n}"),
        parts(Text("Let me look."), call),
        Message("tool", (ToolResult("c1", "days_of", "28"),)),
    )
    return called(messages, parts(ToolCall("c2", "done", "")), finish="tool_calls")


def test_calls_of_tools_are_rows(store: Store) -> None:
    record = tools_called()
    tool = {"type": "function", "function": {"name": "days_of", "parameters": {}}}
    record = msgspec.structs.replace(record, input={**record.input, "tools": [tool]})
    store.take([record])
    (row,) = rows(store=store)
    assert json.loads(row["tools"]) == [tool]
    assert row["messages"][2:] == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "days_of", "arguments": {"kind": "leave", "n": 1}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "name": "days_of", "content": "28"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c2", "type": "function", "function": {"name": "done", "arguments": {}}}
            ],
        },
    ]
    assert list(rows(format="completion", store=store)) == []


def test_rows_are_written_at_once_or_not_at_all(project: Path) -> None:
    def failing() -> Any:
        yield {"messages": []}
        raise ValueError("no")

    path = project / "rows" / "train.jsonl"
    path.parent.mkdir()
    assert write_rows(path, [{"messages": [{"role": "user"}]}] * 3) == 3
    before = path.read_bytes()
    with pytest.raises(ValueError):
        write_rows(path, failing())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(StorageError):
        write_rows(path / "below", [])
    assert write_rows(path, []) == 0 and path.read_bytes() == b""


def test_a_row_with_new_keys_is_written_first(project: Path) -> None:
    simple = {"messages": [{"role": "user"}]}
    rich = {"messages": [{"role": "user"}, {"tool_calls": []}], "tools": "[]"}
    write_rows("train.jsonl", [simple, simple, rich, simple, rich])
    read = [json.loads(each) for each in Path("train.jsonl").read_text().splitlines()]
    assert read == [simple, rich, simple, simple, rich]


# What the libraries take, unchanged.


def loaded(path: Path) -> Any:
    datasets = pytest.importorskip("datasets", reason="the extra 'train' is not installed")
    return datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(path.parent / "cache")
    )


def many(store: Store) -> None:
    calls = [called(asked(str(n)), f"{n} days" + "." * 2000) for n in range(40)]
    store.take([*calls, tools_called(), *[feedback(each, {"correction": "!"}) for each in calls]])


@pytest.mark.parametrize("format", ["chat", "prompt_completion", "completion", "preference"])
def test_the_file_loads_in_datasets_as_it_was_written(
    store: Store, project: Path, format: Any
) -> None:
    many(store)
    path = project / "train.jsonl"
    made = list(rows(format=format, store=store))
    assert write_rows(path, made) == len(made) >= 40
    read = loaded(path)
    assert sorted(map(json.dumps, map(sorted_keys, read))) == sorted(
        map(json.dumps, map(sorted_keys, made))
    )


def test_tools_behind_ten_megabytes_of_others_load(store: Store, project: Path) -> None:
    """`datasets` takes the types from the first ten megabytes."""
    path = project / "train.jsonl"
    store.take([tools_called(), called()])
    plain_row, tools_row = list(rows(store=store))
    plain_row["messages"][-1]["content"] = "x" * 1_000_000
    write_rows(path, [*[plain_row] * 12, tools_row])
    read = loaded(path)
    assert len(read) == 13
    assert [sorted_keys(row) for row in read if row["messages"][1]["content"] == "tools 0"] == [
        sorted_keys(tools_row)
    ]


def sorted_keys(row: Any) -> Any:
    return json.loads(json.dumps(row, sort_keys=True))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model of two layers and a tokenizer of a few hundred words, made here."""
    pytest.importorskip("trl", reason="the extra 'train' is not installed")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["How many days of leave? 28 days, said the user."] * 9, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", model_max_length=256
    )
    fast.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        pad_token_id=fast.pad_token_id,
        eos_token_id=fast.eos_token_id,
    )
    folder = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder), fast


# Like those of today's models, it asks whether a message has calls, and writes arguments as JSON.
CHAT_TEMPLATE = r"""
{%- if tools %}tools: {{ tools | tojson }}<end>{% endif -%}
{%- for message in messages -%}
{{ message.role + '\n' + message.content }}
{%- if 'tool_calls' in message -%}
{%- for call in message.tool_calls -%}
call {{ call.function.name }} {{ call.function.arguments | tojson }}
{%- endfor -%}
{%- endif -%}
<end>
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'assistant\n' }}{% endif -%}
"""


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("format", ["chat", "prompt_completion", "completion", "preference"])
def test_a_trainer_takes_the_file_as_it_is(
    store: Store, project: Path, tiny: tuple[Any, Any], format: Any
) -> None:
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    many(store)
    path = project / "train.jsonl"
    assert write_rows(path, rows(format=format, store=store)) >= 40
    model, tokenizer = tiny
    trainer, config = (DPOTrainer, DPOConfig) if format == "preference" else (SFTTrainer, SFTConfig)
    args = config(
        output_dir=str(project / "out"),
        max_steps=1,
        per_device_train_batch_size=2,
        max_length=128,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    done = trainer(
        model=model, args=args, train_dataset=loaded(path), processing_class=tokenizer
    ).train()
    assert done.global_step == 1
    assert done.training_loss > 0


def test_a_chat_template_sees_the_calls_of_tools(
    store: Store, project: Path, tiny: tuple[Any, Any]
) -> None:
    store.take([tools_called(), called()])
    write_rows("train.jsonl", rows(store=store))
    texts = [
        tiny[1].apply_chat_template(row["messages"], tokenize=False)
        for row in loaded(project / "train.jsonl")
    ]
    assert any('call days_of {"kind": "leave", "n": 1}' in text for text in texts)
    assert sum("call" in text for text in texts) == 1


@pytest.mark.parametrize("query", [5, "flow"])
def test_what_is_no_query_is_refused(query: Any) -> None:
    with pytest.raises(UsageError, match="does not say which records"):
        rows(query)
