"""A text in windows: every token is read, and counts in one window only."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onrecord.errors import ContextLengthError
from onrecord.models.transformers.loading import Device
from onrecord.models.transformers.resident import Network
from onrecord.models.transformers.windows import OVERLAP, windows
from tests.models.tiny_models import tokenizer, wordpiece

BPE, PIECES = tokenizer(64, chat=False, padding="right"), wordpiece(64)
TEXTS = st.text(st.sampled_from("ab é東🙂½\n .שthecatsmon</s>"), max_size=400)


def network(words, context):
    return Network(None, words, Device("cpu", "float32"), context)


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.integers(16, 64), st.sampled_from([BPE, PIECES]), st.booleans())
def test_every_token_is_one_windows_own(text, context, words, asks):
    question = "who?" if asks else None
    tokens, parts = windows(network(words, context), text, "here", question=question)
    said = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    whole = words(text, return_offsets_mapping=True, **said)
    assert [(token.start, token.end) for token in tokens] == whole["offset_mapping"]
    assert [token.word for token in tokens] == whole.word_ids()
    assert [number for part in parts for number in part.own] == list(range(len(tokens)))
    for part in parts:
        assert len(part.row["input_ids"]) <= context
        held = part.row["input_ids"][part.at : part.at + len(part.tokens)]
        assert held == whole["input_ids"][part.tokens.start : part.tokens.stop]
        if len(parts) == 1:
            continue
        # As many stand before and behind what is its own as the overlap allows for.
        room = context - len(part.row["input_ids"]) + len(part.tokens)
        least = min(OVERLAP, room // 2) // 2
        assert part.own.start == 0 or part.own.start - part.tokens.start >= least
        assert part.own.stop == len(tokens) or part.tokens.stop - part.own.stop >= least


def test_a_question_that_leaves_no_room():
    with pytest.raises(ContextLengthError, match="leaves 0 of them for the text") as bad:
        windows(network(BPE, 64), "the cat", "here", question="the cat sat on the mat " * 20)
    assert not bad.value.sent


def test_the_question_stands_behind_where_the_files_pad_on_the_left():
    left = tokenizer(64, chat=False, padding="right")
    left.padding_side = "left"
    _, (part,) = windows(network(left, 64), "the cat", "here", question="who?")
    assert part.at == 1
    _, (part,) = windows(network(BPE, 64), "the cat", "here", question="who?")
    assert part.at > 2
