"""Text as numbers and streams, and configurations as JSON."""

from __future__ import annotations

import json
import random

import jax.numpy as jnp
import numpy as np
import pytest
from support import VARIANTS, variant

import jaxrnn
from jaxrnn import data
from jaxrnn.data import UNKNOWN, Streams, Vocabulary

TEXT = "Ein Ölbild — 3 x 4 cm, né 1899.\n\tdef f(x): return x_1 "


@pytest.mark.parametrize("kind", ["characters", "bytes", "words"])
def test_text_comes_back(kind):
    vocabulary = Vocabulary.of(TEXT, kind)
    numbers = vocabulary.encode(TEXT)
    assert vocabulary.decode(numbers) == TEXT
    assert numbers.dtype == np.int32 and numbers.min() >= 1 and numbers.max() < len(vocabulary)
    expected = {"characters": len(TEXT), "bytes": len(TEXT.encode()), "words": 33}[kind]
    assert len(numbers) == expected


def test_unknown_symbols_are_number_0_and_say_so():
    vocabulary = Vocabulary.of("abcabc")
    assert vocabulary.encode("axb").tolist() == [1, 0, 2]
    assert vocabulary.decode([1, 0, 2]) == f"a{UNKNOWN}b"
    assert Vocabulary.of("the cat", "words").encode("the dog").tolist()[-1] == 0


def test_rare_symbols_are_left_to_the_unknown_one():
    assert Vocabulary.of("aaabbc", at_least=2).symbols == ("a", "b")
    assert Vocabulary.of("aaabbc", at_most=1).symbols == ("a",)


def test_vocabulary_survives_json():
    for kind in "characters", "bytes", "words":
        vocabulary = Vocabulary.of(TEXT, kind)
        assert Vocabulary.from_config(json.loads(json.dumps(vocabulary.to_config()))) == vocabulary


def test_vocabulary_of_unknown_kind():
    with pytest.raises(ValueError, match="kind: expected 'characters', 'bytes' or 'words', got 'runes'"):
        Vocabulary.of(TEXT, "runes")


@pytest.mark.parametrize(("length", "batch", "window"), [(103, 4, 7), (101, 4, 5), (9, 8, 3), (50, 1, 100), (17, 3, 1)])
def test_each_symbol_but_the_first_is_a_target_once(length, batch, window):
    """Against a walk over the text by hand, and with the stream of each target running on where it stopped."""
    numbers = np.arange(1000, 1000 + length, dtype=np.int32)  # each symbol is its own place
    streams = Streams(numbers, batch, window)
    seen, before = [], None
    for k, (tokens, targets, weights, fresh) in enumerate(streams):
        assert tokens.shape == targets.shape == weights.shape == (window, batch)
        assert fresh.tolist() == [k == 0] + [False] * (window - 1)
        there = weights == 1
        assert np.array_equal(targets[there], tokens[there] + 1)
        assert set(np.unique(weights)) <= {0.0, 1.0} and (targets[~there] == 0).all()
        seen += targets[there].tolist()
        if before is not None:
            assert np.array_equal(tokens[0][there[0]], before[-1][there[0]] + 1)
        before = tokens
    assert sorted(seen) == numbers[1:].tolist()
    assert k + 1 == len(streams)
    again = streams[len(streams) + 1]  # epochs are laid end to end
    assert all(np.array_equal(a, b) for a, b in zip(again, streams[1], strict=True))


def test_streams_want_a_target_for_each_row():
    with pytest.raises(ValueError, match=r"numbers: expected more than batch_size=8 symbols, .* got 8; give more text"):
        Streams(np.arange(8), 8, 4)


def test_files_of_a_folder_in_one_order_and_split_whole(tmp_path):
    texts = {f"{name}.txt": name * 100 for name in "abcdefghij"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "k.txt").write_text("k" * 99)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / ".hidden").mkdir()
    for name in (".secret.txt", ".hidden/log.txt"):
        (tmp_path / name).write_text("hidden")
    found = data.read_text(tmp_path)
    assert sorted(found) == sorted([*texts.values(), "k" * 99])
    assert found == data.read_text(tmp_path) != sorted(found)
    assert sorted(data.read_text(tmp_path, "*.txt")) == sorted(texts.values())
    train, held_out = data.split_text(found, 0.2)
    assert train == "".join(found[:8]) and held_out == "".join(found[8:])


def test_one_file_is_split_by_position(tmp_path):
    (tmp_path / "one").write_text("0123456789")
    assert data.split_text(data.read_text(tmp_path / "one"), 0.3) == ("0123456", "789")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
def test_a_text_is_the_same_in_any_encoding_with_a_mark(encoding, tmp_path):
    """Whose mark is no symbol of it; bytes written by hand where Python writes no mark."""
    mark = {"utf-16-be": b"\xfe\xff", "utf-32-be": b"\0\0\xfe\xff"}.get(encoding, b"")
    (tmp_path / "text").write_bytes(mark + TEXT.replace("\n", "\r\n").encode(encoding))
    assert data.read_text(tmp_path / "text") == data.read_text(tmp_path) == [TEXT]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "naïve".encode("latin-1"),
            r"text: \S*here is not in UTF-8: invalid continuation byte at byte 2; convert it, such",
        ),
        (
            "ab".encode("utf-16") + b"c",
            r"text: \S*here is not in UTF-16-LE: truncated data at byte 6; convert it, such",
        ),
        (b"\xef\xbb\xbfab\xff", r"text: \S*here is not in UTF-8: invalid start byte at byte 5; convert it, such as by"),
        ("abc".encode("utf-16-le"), r"text: found no text in \S*here: it holds NUL bytes, as binary files do"),
        (b"", r"text: found no text in \S*here: it is empty"),
        (b"\xef\xbb\xbf", r"text: found no text in \S*here: it is empty"),
    ],
)
def test_another_encoding_names_file_and_place(content, message, tmp_path):
    (tmp_path / "here").write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        data.read_text(tmp_path / "here")


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "runes", "symbols": ["a"]},
        {"kind": "characters", "symbols": "ab"},
        {"kind": "characters", "symbols": ["ab"]},
        {"kind": "characters", "symbols": ["a", "a"]},
        {"kind": "bytes", "symbols": ["\u0100"]},
        {"kind": "words", "symbols": ["a", 1]},
        {"symbols": ["a"]},
    ],
)
def test_a_vocabulary_that_no_one_wrote(config):
    with pytest.raises(ValueError, match="vocabulary: expected"):
        Vocabulary.from_config(config)


def test_where_there_is_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="text: expected a file or a folder, found nothing at"):
        data.read_text(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="text: found no text in"):
        data.read_text(tmp_path)
    with pytest.raises(ValueError, match=r"held_out: expected a share between 0 and 1, got 1\.5"):
        data.split_text(["text"], 1.5)


@pytest.mark.parametrize("name", VARIANTS)
def test_cells_come_back_from_json(name):
    cell = variant(name, dtype="bfloat16")
    assert jaxrnn.from_config(json.loads(json.dumps(jaxrnn.to_config(cell)))) == cell


def test_compositions_and_models_come_back_from_json():
    cell = jaxrnn.stack(
        jaxrnn.lstm(4, forget_bias=jaxrnn.initializers.chrono(30)),
        jaxrnn.learned_carry(jaxrnn.gru(3, activation=jnp.sin, **jaxrnn.initializers.torch_defaults("gru"))),
    )
    model = jaxrnn.models.language_model(cell, 10, 5)
    config = json.loads(json.dumps(jaxrnn.to_config(model)))
    assert jaxrnn.from_config(config) == model
    assert repr(jaxrnn.from_config(config)) == repr(model)


@jaxrnn.factory
def mine(hidden_size: int, *, slope: float = 0.5) -> jaxrnn.Cell:
    """A cell of the user's own."""
    return jaxrnn.elman(hidden_size)


def test_own_factories_come_back_by_name():
    config = jaxrnn.to_config(mine(3, slope=random.Random(0).random()))
    assert jaxrnn.from_config(config, {"mine": mine}) == mine(3, slope=random.Random(0).random())
    with pytest.raises(KeyError, match="'mine' is not a factory of jaxrnn; give it in factories="):
        jaxrnn.from_config(config)


def test_what_cannot_be_saved_says_so():
    with pytest.raises(TypeError, match="cannot be saved as an option; name a function of jax"):
        jaxrnn.to_config(jaxrnn.elman(3, activation=lambda z: z))
    by_hand = jaxrnn.Cell(lambda key, n: {}, lambda p: (), plain_step=lambda p, c, x: (c, x))
    with pytest.raises(TypeError, match="only what a factory made can be saved; decorate yours with jaxrnn"):
        jaxrnn.to_config(by_hand)


def test_what_is_not_a_text_or_a_number_is_refused():
    with pytest.raises(TypeError, match="text: expected one str, got list; join several"):
        Vocabulary.of(["a", "b"])
    with pytest.raises(TypeError, match="texts: expected a list of texts, as read_text gives, got one str"):
        data.split_text("text")
    with pytest.raises(ValueError, match=r"numbers: expected \[T\] of 0 to 3, got array"):
        Vocabulary.of("abc").decode([-2])
    with pytest.raises(ValueError, match="batch_size, window: expected at least 1, got 2 and 0"):
        Streams(np.arange(8), 2, 0)


def test_an_unknown_byte_is_seen():
    assert Vocabulary.of("é", "bytes").decode([0, 2, 1, 0]) == f"{UNKNOWN}é{UNKNOWN}"


def test_a_file_with_unknown_options_is_refused():
    config = jaxrnn.to_config(jaxrnn.lstm(4))
    config["options"]["peephole"] = True
    with pytest.raises(TypeError, match=r"lstm has no options \['peephole'\]; was this saved by a newer jaxrnn?"):
        jaxrnn.from_config(config)


def test_what_generate_writes_is_text():
    """The padding after a row's end stands for nothing; another number below 0 is no symbol."""
    vocabulary = data.Vocabulary.of("abc")
    numbers = vocabulary.encode("cab")
    assert vocabulary.decode(np.concatenate([numbers, [-1, -1]])) == "cab"
    with pytest.raises(ValueError, match="numbers: expected"):
        vocabulary.decode(np.array([1, -2]))
