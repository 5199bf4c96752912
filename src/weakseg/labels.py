"""The names that a caller may ask for: the network's classes, and groups of them."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from weakseg.errors import ModelCardError, OptionValueError, UnknownClassError

FEW = 21  # labels that are all named to a caller who asks for another one
RESERVED = frozenset({"auto", "none"})  # values of option ``classes`` that are no names


class Vocabulary:
    """Label names to label indices: the C classes come first, then the groups; L = C + number of groups.

    Args:
        classes: (C) class names in the network's order. A name may occur twice (ImageNet's ``crane``).
        groups: Group name to class indices, e.g. VOC's ``dog`` to the 118 ImageNet dogs. A group hides a class of
            the same name.
    Raises:
        ModelCardError: a group is empty or has an index outside [0, C), or a name is reserved.
    """

    def __init__(self, classes: Sequence[str], groups: Mapping[str, Sequence[int]] | None = None) -> None:
        self.classes = tuple(classes)
        self.groups = {name: tuple(members) for name, members in (groups or {}).items()}
        for name, members in self.groups.items():
            if not members or not all(0 <= index < len(self.classes) for index in members):
                raise ModelCardError(f"group {name!r} needs class indices in [0, {len(self.classes)}), has {members}")
        self.names = self.classes + tuple(self.groups)
        reserved = {name for name in (*self.classes, *self.groups) if name.casefold() in RESERVED}
        if reserved:
            raise ModelCardError(f"{', '.join(sorted(reserved))}: these words mean something in option 'classes'.")
        counts = Counter(name.casefold() for name in self.classes)
        self._ambiguous = {name for name, count in counts.items() if count > 1}
        self._index = {name.casefold(): index for index, name in enumerate(self.names)}  # groups win: they come last

    def __len__(self) -> int:
        return len(self.names)

    def resolve(self, wanted: str | int) -> int:
        """The label index of a name (any case; ``_`` for a space), or of a number: classes, then groups. A name wins.

        Raises:
            UnknownClassError: no such label, or a name that two classes share. The message has the nearest names.
        """
        text = str(wanted).strip()
        for name in (text.casefold(), text.casefold().replace("_", " ")):
            if name in self._index and not (name in self._ambiguous and self._index[name] < len(self.classes)):
                return self._index[name]
            if name in self._ambiguous:
                numbers = [str(i) for i, known in enumerate(self.classes) if known.casefold() == name]
                raise UnknownClassError(
                    f"{text!r} names {len(numbers)} classes of this model.",
                    field="classes",
                    remedy=f"Send the class number instead: {' or '.join(numbers)}.",
                )
        if text.isdecimal():
            return self._class_number(text)
        raise UnknownClassError(
            f"{text[:80]!r} is not a class of this model.", field="classes", remedy=self._suggestion(text[:80])
        )

    def category_id(self, index: int) -> int:
        """A label's number in data sets (COCO's ``category_id``), 1 to L: the groups in their order, then the classes.

        The groups come first as masks are made of them before all: VOC's get VOC's own numbers, 1 to 20.
        """
        groups = len(self.groups)
        return 1 + (index - len(self.classes) if index >= len(self.classes) else groups + index)

    def _class_number(self, digits: str) -> int:
        if len(digits) < 10 and int(digits) < len(self.names):  # int() refuses thousands of digits
            return int(digits)
        raise UnknownClassError(
            f"{digits[:80]} is not a class number of this model.",
            field="classes",
            remedy=f"Send a number from 0 to {len(self.names) - 1}, or a name.",
        )

    def _suggestion(self, text: str) -> str:
        wanted = text.casefold()
        inside = [name for name in self.names if len(wanted) > 2 and wanted in name.casefold()]
        close = difflib.get_close_matches(wanted, self._index, n=5, cutoff=0.5)
        nearest = list(dict.fromkeys([*inside[:3], *(self.names[self._index[name]] for name in close)]))[:5]
        if len(self) <= FEW:
            guess = f" Did you mean {', '.join(nearest)}?" if nearest else ""
            classes = "1 class" if len(self) == 1 else f"{len(self)} classes"
            return f"The model has {classes}: {', '.join(self.names)}.{guess}"
        if nearest:
            return f"Did you mean {', '.join(nearest)}?"
        return f"The model has {len(self.classes)} classes, such as {', '.join(self.names[-3:])}."

    def refuse_shared(self, labels: Sequence[int]) -> None:
        """Raises: OptionValueError: two of these labels have a class in common."""
        owners: dict[int, int] = {}
        membership = self.membership()
        for label in labels:
            for index in np.flatnonzero(membership[label]):
                other = owners.setdefault(int(index), label)
                if other != label:
                    raise OptionValueError(
                        f"{self.names[other]!r} and {self.names[label]!r} share class {self.classes[index]!r}, and a "
                        "pixel has one label.",
                        field="classes",
                        remedy="Send one of the two, or each in a request of its own.",
                    )

    def membership(self) -> NDArray[np.bool_]:
        """(L, C) bool: which classes belong to each label. The first C rows are the identity."""
        rows = np.zeros((len(self.names), len(self.classes)), bool)
        rows[: len(self.classes)] = np.eye(len(self.classes), dtype=bool)
        for row, members in enumerate(self.groups.values(), start=len(self.classes)):
            rows[row, list(members)] = True
        return rows  # (L, C)

    def rankable(self) -> NDArray[np.bool_]:
        """(L,) bool: labels that compete for "the best-scoring label": groups, and classes that are in no group."""
        grouped = {index for members in self.groups.values() for index in members}
        return np.array([index not in grouped for index in range(len(self.classes))] + [True] * len(self.groups))
