"""The folder of a run: what is in it, and whose it is."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vgm_jax.data.files import hold, in_one_piece
from vgm_jax.data.text import Vocabulary

VOCABULARY, ANSWERS, CLASSES, DATA = "vocabulary.json", "answers.json", "classes.json", "data.json"
# What may differ between two sittings of one run: it does not change what is learnt, or only how long.
CONTINUES = ("train", "checkpoint", "evaluate", "partition", "data.workers", "data.prefetch")
PLACE = "data.path"  # may, too, where `note_data` has written by what the same data are known
# Keys that are younger than some workdirs, with the values that mean what was so before there were any.
YOUNGER = {
    "train.minutes": 0.0,
    "checkpoint.minutes": (),
    "data.folder.audio": False,
    "data.folder.groups": False,
    "data.tfds.audio": "",
    "data.text": {"length": 0, "most": 10_000},
    "data.text.answers": 1000,
    "data.text.encoder": "words",
    "data.shapeshow_films": {"audio": False, "text": False, "question": False, "films": 512},
    "data.vectors": {"attributes": 0},
    "data.shapeshow.text": False,
    "data.shapeshow.question": False,
    "data.shapeshow.held_out": 0.0,
    "data.shapeshow.more_questions": 0,
    "data.shapeshow.layout": 0,
    "model.frames_given": 1,
    "model.frames_judged": 0,
    "model.modalities": ("video",),
    "model.modality_drop": 0.0,
    "model.trunk": {"width": 128, "words": 0, "fusion": "bottleneck", "causal": False, "horizon": 1.0},
    "model.start": "",
    "model.frozen": False,
    "model.features": "efficientnet,sound",
    "model.window": 4,
    "model.vectors": 4096,
    "model.summarizer": {"width": 96, "layers": 2, "dropout": 0.3},
    "objective.codes_noise_far": 0.0,
    "objective.summary": "supervised",
    "objective.summary_length": 0.3,
    "objective.motion_penalty_weight": 1.0,
    "objective.spins_from": 300,
    "objective.settled_from": 0,
    "objective.codes_penalty_end": 1.0,
    "objective.judged": "imagined",
    "objective.codes_explained": 0.0,
    "objective.motion_explained": 0.0,
    "objective.codes_recent": 1_000_000,
    "objective.start_stride": 0,
    "objective.speed_weight": 0.0,
    "objective.mixup": 0.0,
    "objective.label_smoothing": 0.0,
    "objective.hidden": 0.9,
    "objective.whole_weight": 0.0,
    "objective.layout_weight": 0.0,
    "objective.critic_rounds": 1,
    "objective.class_weight": 0.0,
    "objective.class_from": 0,
    "evaluate.views": (1, 1),
    "evaluate.generated": 100,
    "objective.augment": "",
    "objective.augment_p": 1.0,
    "objective.augment_target": 0.0,
    "objective.augment_images": 500_000,
    "objective.augment_every": 4,
    "optimizer.motion_rate": 4e-4,
}


class WorkdirError(RuntimeError):
    """A workdir that cannot be used; the message says why and what to do."""


def plain(config: Any) -> dict[str, Any]:
    """A config as JSON gives it back: dicts, lists and scalars."""
    return json.loads(json.dumps(config.to_dict() if isinstance(config, ConfigDict) else config))


def is_begun(workdir: Path, learnt: bool) -> bool:
    """Whether a folder is somebody's: a run's that learnt something, or a model's that has no run's data."""
    return learnt or not (workdir / DATA).exists()


def forget(workdir: Path) -> None:
    """Removes what is known of a run that learnt nothing, and of its data."""
    names = ("config.json", DATA, CLASSES, VOCABULARY, ANSWERS)
    for file in (*(workdir / "media").glob("real_*"), *(workdir / name for name in names)):
        file.unlink(missing_ok=True)


def claim(
    workdir: Path, config: ConfigDict, primary: bool = True, kept: dict[str, Any] | None = None
) -> None:
    """Makes the folder this run's: `config.json` is written, or agrees with the one there.

    kept: the config in the run's latest checkpoint, which must agree, too: `config.json` may be gone.
    Raises WorkdirError where the folder cannot be written, or is another config's (naming the keys).
    """
    path, new = workdir / "config.json", plain(config)
    known = {"run": plain(read_config(workdir))} if path.exists() else {}
    if kept is not None:
        known["checkpoint"] = plain(_grown(kept))
    for what, old in known.items():
        changed = differences(old, new)
        if (workdir / DATA).exists():
            changed = [line for line in changed if not line.startswith(f"{PLACE}: ")]
        if changed:
            raise WorkdirError(
                f"{workdir} holds a {what} of another config, which differs in:\n  "
                + "\n  ".join(changed)
                + "\nChoose another --workdir, or set these keys as they were."
            )
    if not primary:
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with in_one_piece(path) as part:
            part.write_text(json.dumps(new, indent=2) + "\n")
    except OSError as error:
        raise _unwritable(workdir, error) from error


def _unwritable(workdir: Path, error: OSError) -> WorkdirError:
    return WorkdirError(
        f"the workdir {workdir} cannot be written ({error.strerror}); choose another --workdir"
    )


@contextlib.contextmanager
def lock(workdir: Path, primary: bool = True) -> Iterator[None]:
    """Within the context, no other process trains in the folder; the system drops the lock of a killed one.

    The folder is made where it is missing. Raises WorkdirError where another process trains there, or nothing
    can be written.
    """
    if not primary:
        yield
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        opened = (workdir / ".lock").open("w")
    except OSError as error:
        raise _unwritable(workdir, error) from error
    with opened as file:
        try:
            hold(file, workdir, "trains")
        except BlockingIOError as error:
            raise WorkdirError(
                f"another process trains in {workdir}; wait for it, stop it, or choose another --workdir"
            ) from error
        yield


def note_data(workdir: Path, source: Any, place: str, write: bool = True) -> None:
    """Writes by what a run's training data are known again into `data.json`; or only looks there.

    How many clips they are, of what classes, and, where they are not at the same `place` any more, the first
    one's SHA-256: another machine may read or draw a clip with other last bits. Raises WorkdirError where
    they were others when the run began.
    """
    digest = hashlib.sha256()
    for name, value in sorted(source[0].items()):
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    classes = source.class_names() if hasattr(source, "class_names") else ()
    path = workdir / DATA
    found = {"clips": len(source), "classes": list(classes), "first clip": digest.hexdigest()}
    found["place"] = place
    if path.exists():
        try:
            known = dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise WorkdirError(f"{path} is torn ({error}); remove it to do without") from error
        moved = known.get("place") != place
        for name in ("clips", "classes", "first clip")[: 3 if moved else 2]:
            if known.get(name) != found[name]:
                raise WorkdirError(
                    f"the training data of {workdir} have changed ({name}: {known.get(name)} -> "
                    f"{found[name]}); choose another --workdir"
                )
    if write:
        with in_one_piece(path) as part:
            part.write_text(json.dumps(found, ensure_ascii=False) + "\n")


def note_classes(workdir: Path, names: Sequence[str], file: str = CLASSES) -> None:
    """Writes what the data's labels mean into `classes.json`: a model outlives the data it was trained on."""
    if names:
        with in_one_piece(workdir / file) as part:
            part.write_text(json.dumps(list(names), indent=0, ensure_ascii=False) + "\n")


def note_words(
    workdir: Path, vocabulary: Vocabulary, answers: Sequence[str] = (), write: bool = True
) -> None:
    """Writes what ids of words and answers mean into `vocabulary.json` and `answers.json`; or only looks.

    Raises WorkdirError where the run learnt with other ones: the data's captions, or answers, have changed.
    """
    known = read_vocabulary(workdir), read_answers(workdir)
    for old, new, file in zip(known, (vocabulary, tuple(answers)), (VOCABULARY, ANSWERS), strict=True):
        if old and old != new:
            raise WorkdirError(
                f"{workdir} was trained with other words ({file}): captions or answers of the training split "
                "have changed since; choose another --workdir"
            )
    if not write:
        return
    with in_one_piece(workdir / VOCABULARY) as part:
        part.write_text(vocabulary.to_json())
    note_classes(workdir, answers, ANSWERS)


def read_vocabulary(workdir: Path) -> Vocabulary | None:
    """What `note_words` wrote; None where it has not. Raises WorkdirError for a torn file."""
    path = workdir / VOCABULARY
    try:
        return Vocabulary.from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise WorkdirError(f"{path}: {error}") from error


def read_answers(workdir: Path) -> tuple[str, ...]:
    """The answers that `note_words` wrote; none where it has not. Raises WorkdirError for a torn file."""
    return read_classes(workdir, ANSWERS)


def read_classes(workdir: Path, file: str = CLASSES) -> tuple[str, ...]:
    """The names that `note_classes` wrote; none where it has not. Raises WorkdirError for a torn file."""
    path = workdir / file
    try:
        return tuple(str(name) for name in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError) as error:
        raise WorkdirError(f"{path} is not a list of names ({error}); remove it to do without") from error


def read_config(workdir: Path) -> ConfigDict:
    """The config of the run in `workdir`, with the keys it is too old for, locked.

    Raises WorkdirError where there is none.
    """
    path = workdir / "config.json"
    try:
        config = json.loads(path.read_text())
        if not isinstance(config, dict) or "task" not in config:
            raise WorkdirError(f"{workdir} is not the workdir of a run: {path} is of something else")
        return ConfigDict(_grown(config)).lock()
    except OSError as error:
        raise WorkdirError(
            f"{workdir} is not the workdir of a run: {path} cannot be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise WorkdirError(f"{path} is not valid JSON ({error})") from error


def _grown(config: dict[str, Any]) -> dict[str, Any]:
    """A config, in place, with the keys that it is too old for."""
    younger = dict(YOUNGER)
    old = config["objective"] if "objective" in config else {}
    # Until codes settled the game was as later; but of repainted clips there was none.
    none = old.get("judged") == "repainted" and old.get("settled_from")
    younger["objective.codes_early_rounds"] = 0 if none else old.get("codes_rounds", 1)
    younger["objective.codes_early_stride"] = old.get("codes_stride", 1)
    for key, value in younger.items():
        *sections, name = key.split(".")
        node = config
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.setdefault(name, value)
    return config


def differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """'key: old -> new' for all that differs, but for the sections that may."""
    lines = []
    for key in sorted(set(old) | set(new)):
        name = f"{prefix}{key}"
        if name in CONTINUES:
            continue
        a, b = old.get(key, "absent"), new.get(key, "absent")
        if isinstance(a, dict) and isinstance(b, dict):
            lines += differences(a, b, f"{name}.")
        elif a != b:
            lines.append(f"{name}: {a} -> {b}")
    return lines
