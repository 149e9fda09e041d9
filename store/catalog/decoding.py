"""Remembers what decoding said about a value, by content, within bounds.

Decoding depends on key and value alone, so a remembered answer is the answer. Models are kept for the objects used
last; verdicts, which are smaller, for more. Whatever was forgotten is decoded again.

In a large mesh a host uses few of the objects, so a load puts off their judgement (`put_off`): an object is judged when
something asks whether it serves, the rest little by little (`judge_some`). What is found to be bad serves nobody from
then on and waits in `take_spoilt` for the catalog to quarantine it.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from store.diagnostics import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from store.diagnostics import Diagnostic
    from store.objects.base import Model
    from store.snapshot import Entry

__all__ = ["DecodedValue", "Decodings"]

MODELS_MAX = 4_096
"""Parsed objects kept (about 7 kB each): those of 1,000 services in use."""

VERDICTS_MAX = 65_536
"""Verdicts kept (about 150 bytes each for a valid value)."""

_Kept = TypeVar("_Kept")


class DecodedValue(Protocol):
    """What decoding one stored value gives (`store.codec.Decoded`)."""

    @property
    def document(self) -> Mapping[str, Any] | None:
        """The value as a mapping; None when it could not be read at all."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Errors and warnings."""

    @property
    def object(self) -> Model | None:
        """The model; None when the value is not valid."""


class Decodings:
    """Decodes stored values and remembers the answers; a memory, never a source of its own.

    Args:
        decode: `store.codec.decode`.
        parse: Makes the model of a value that `decode` has found valid, cheaper than that (`store.codec.parse`);
            `decode` again where there is none.
        models_max: How many models are kept.
    """

    def __init__(
        self,
        decode: Callable[[str, bytes], DecodedValue],
        parse: Callable[[str, bytes], Model] | None = None,
        *,
        models_max: int = MODELS_MAX,
    ) -> None:
        self._decode = decode
        self._parse = parse
        self._models: _Recent[Model | None] = _Recent(models_max)
        self._verdicts: _Recent[tuple[Diagnostic, ...]] = _Recent(VERDICTS_MAX)
        self._put_off: dict[str, Entry] = {}
        self._were_judged = False
        self._spoilt: dict[str, Entry] = {}
        self._news: list[Entry] = []

    @property
    def unjudged(self) -> int:
        """How many entries' judgement is still put off."""
        return len(self._put_off)

    @property
    def owed(self) -> int:
        """How many of them nobody has ever judged by these rules."""
        return 0 if self._were_judged else len(self._put_off)

    def put_off(self, entry: Entry, *, was_judged: bool) -> None:
        """Judge `entry` when it is asked for, or when its turn comes.

        Args:
            entry: It is in force until it turns out to be bad.
            was_judged: Whether the same rules found it valid before: then only its model is made.
        """
        self._put_off[entry.key] = entry
        self._were_judged = was_judged

    def drop(self, key: str) -> None:
        """Nothing is in force under `key` any more."""
        self._put_off.pop(key, None)
        self._spoilt.pop(key, None)

    def supersede(self, entry: Entry) -> None:
        """Another generation serves in the place of `entry`: its model is made again, should anybody want it."""
        self._models.drop(_name(entry))

    def serves(self, entry: Entry) -> bool:
        """Whether an entry in force may serve; judges it now where that was put off."""
        key = entry.key
        if self._put_off.get(key) is entry:
            self._judge(entry, keep_model=True)
        return self._spoilt.get(key) is not entry

    def judge_some(self, count: int) -> None:
        """Judge up to so many entries of which it was put off, those that were loaded last first."""
        for _ in range(min(count, len(self._put_off))):
            self._judge(self._put_off[next(reversed(self._put_off))], keep_model=False)

    @property
    def has_news(self) -> bool:
        """Whether `take_spoilt` has something."""
        return bool(self._news)

    def take_spoilt(self) -> list[Entry]:
        """Entries found to be bad since this was last asked."""
        taken, self._news = self._news, []
        return taken

    def _judge(self, entry: Entry, *, keep_model: bool) -> None:
        del self._put_off[entry.key]
        if self._were_judged:
            self.take_for_valid(entry, keep_model=keep_model)
        name = _name(entry)
        if self._verdicts.get(name) is None:
            self._remember(name, entry, keep_model=keep_model)
        if self._verdicts.get(name):
            self._spoilt[entry.key] = entry
            self._news.append(entry)

    def verdict(self, entry: Entry) -> tuple[Diagnostic, ...]:
        """The errors that keep `entry` from serving; empty when it is valid."""
        name = _name(entry)
        known = self._verdicts.get(name)
        if known is None:
            self._remember(name, entry)
            known = self._verdicts.get(name)
            assert known is not None
        return known

    def model(self, entry: Entry) -> Model:
        """The parsed object of a valid entry."""
        name = _name(entry)
        model = self._models.get(name)
        if model is None and self._parse is not None and self._verdicts.get(name) == ():
            model = self._parse(entry.key, entry.value)
            self._models.put(name, model)
        elif model is None:
            model = self._remember(name, entry)
        assert model is not None, f"{entry.key}@{entry.mod_revision} was taken for valid and is not"
        return model

    def take_for_valid(self, entry: Entry, *, keep_model: bool = True) -> None:
        """The same rules found the entry valid before: its verdict is known. One without a model is judged anew."""
        if self._parse is None:
            return
        try:
            model = self._parse(entry.key, entry.value)
        except ValueError:  # pydantic's errors are such
            return
        name = _name(entry)
        self._verdicts.put(name, ())
        if keep_model:
            self._models.put(name, model)

    def document(self, entry: Entry) -> Mapping[str, Any]:
        """The value of a valid entry as a mapping, decoded anew at each call (nobody asks often)."""
        document = self._decode(entry.key, entry.value).document
        assert document is not None, f"{entry.key}@{entry.mod_revision} was taken for valid"
        return document

    def _remember(self, name: bytes, entry: Entry, *, keep_model: bool = True) -> Model | None:
        decoded = self._decode(entry.key, entry.value)
        errors = tuple(d for d in decoded.diagnostics if d.level is Level.ERROR)
        if decoded.object is None:
            assert errors, f"{entry.key}: decoding refused the value without saying why"
            self._verdicts.put(name, errors)
            return None
        self._verdicts.put(name, ())
        if keep_model:
            self._models.put(name, decoded.object)
        return decoded.object


class _Recent(Generic[_Kept]):
    """The values used last, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def get(self, name: bytes) -> _Kept | None:
        if name not in self._kept:
            return None
        self._kept.move_to_end(name)
        return self._kept[name]

    def drop(self, name: bytes) -> None:
        self._kept.pop(name, None)

    def put(self, name: bytes, value: _Kept) -> None:
        self._kept[name] = value
        self._kept.move_to_end(name)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)


def _name(entry: Entry) -> bytes:
    key = entry.key.encode("utf-8", "surrogatepass")
    return blake2b(b"%d:%s%s" % (len(key), key, entry.value), digest_size=16).digest()
