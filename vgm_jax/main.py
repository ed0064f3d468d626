"""Flags -> config -> mode.

python -m vgm_jax.main --config C [--workdir W] [--mode train|evaluate|sample] [--config.key=value ...]
"""

import ast
import contextlib
import os
import re
import sys
import time
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from vgm_jax.training.memory import use_huge_pages

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The recipe. --config.KEY=VALUE changes a key of it."
)
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run lives; runs/<config name> by default.")
# Sections of config.model that are fields of a module.
_FIELD = re.compile(
    r"--config\.model\.(generator|discriminator|encoder|classifier|trunk|summarizer)\.(\w+)=(.*)", re.DOTALL
)
MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "sample"], "What to do.")
COUNT = flags.DEFINE_integer("n", 16, "--mode sample: videos.", lower_bound=1)
FRAMES = flags.DEFINE_integer(
    "frames", 0, "--mode sample: frames a video (0: as in the data, at least 16).", lower_bound=0
)
FPS = flags.DEFINE_float("fps", 0.0, "--mode sample: frames a second (0: as in the data).", lower_bound=0.0)
SEED = flags.DEFINE_integer("seed", 0, "--mode sample: of the noise.")
OUT = flags.DEFINE_string(
    "out", None, "--mode sample: the file, .mp4 or .gif; by default in the workdir's media/."
)


def parse(argv: list[str]) -> list[str]:
    """absl's parser, with errors that a person can act on."""
    try:
        fields = _new_fields(argv)
        # config_flags looks for overrides in sys.argv itself, whatever it is given.
        argv = sys.argv = [argument for argument in argv if argument not in fields]
        left = flags.FLAGS(argv)
        if CONFIG.value is not None:
            CONFIG.value.lock()  # raises what kept the config from loading
            _set_fields(fields)
    except (AttributeError, KeyError) as error:
        raise SystemExit(f"error: {_unknown_key(argv, error)}") from None
    except (flags.Error, TypeError, ValueError, OSError) as error:
        # Of a config that cannot be loaded, the last line says why.
        raise SystemExit(f"error: {str(error).splitlines()[-1].strip()}") from None
    if CONFIG.value is None:
        raise SystemExit("error: --config is missing; try --config configs/base.py")
    return left


def _as_written(argv: list[str]) -> ConfigDict | None:
    """The config without what the command line changes."""
    flags.FLAGS.unparse_flags()
    sys.argv = [a for a in argv if not a.startswith("--config.")]
    flags.FLAGS(sys.argv, known_only=True)
    return CONFIG.value


def _new_fields(argv: list[str]) -> list[str]:
    """Of --config.model.SECTION.FIELD=VALUE those whose section lacks the field: most modules have more.

    A recipe names few of a module's fields; which there are is the module's to say.
    """
    found = [argument for argument in argv if _FIELD.fullmatch(argument)]
    if not found or (config := _as_written(argv)) is None or "model" not in config:
        return []
    parts = {argument: _FIELD.fullmatch(argument).groups() for argument in found}
    model = config.model
    return [x for x, (section, name, _) in parts.items() if section in model and name not in model[section]]


def _set_fields(arguments: list[str]) -> None:
    """Sets what `_new_fields` found, each a Python literal or else a string."""
    for argument in arguments:
        section, name, value = _FIELD.fullmatch(argument).groups()
        value = {"true": "True", "false": "False"}.get(value.lower(), value)
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(value)
        with CONFIG.value.model[section].unlocked():
            CONFIG.value.model[section][name] = value


def _unknown_key(argv: list[str], error: Exception) -> str:
    """Names the first --config.KEY that the config lacks, and the keys beside which it was looked for."""
    try:
        _as_written(argv)
    except (AttributeError, KeyError):  # the recipe's own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"the config cannot be loaded: {lines[-1].strip()}"
    for argument in (a for a in argv if a.startswith("--config.")):
        node, path = CONFIG.value, "config"
        for name in argument.removeprefix("--config.").split("=")[0].split("."):
            if not isinstance(node, ConfigDict) or name not in node:
                keys = ", ".join(node.keys()) if isinstance(node, ConfigDict) else "nothing: it is a value"
                return f"{argument.split('=')[0]}: there is no {name!r} in {path}, which holds {keys}"
            node, path = node[name], f"{path}.{name}"
    return "an unknown configuration key was given"


def main(argv: list[str]) -> None:
    """Runs the mode. Errors a user can cause end in one line and exit status 1."""
    launched = time.perf_counter()
    if argv[1:]:
        raise SystemExit(f"error: unexpected arguments: {' '.join(argv[1:])}")
    from vgm_jax import IMPORTED
    from vgm_jax.training import runtime
    from vgm_jax.training.loop import Interrupted, Run
    from vgm_jax.training.programs import beside_compiled
    from vgm_jax.training.workdir import plain

    logging.set_verbosity(logging.ERROR)
    config = CONFIG.value
    recipe = Path(config_flags.get_config_filename(flags.FLAGS["config"]))
    workdir = Path(WORKDIR.value or Path("runs") / recipe.stem).expanduser()
    try:
        if MODE.value == "sample":
            from vgm_jax.inference import load_sampler
            from vgm_jax.inference.files import sample_file

            runtime.start()
            model = load_sampler(workdir)
            out = Path(OUT.value or workdir / "media" / f"sample_{SEED.value}.mp4")
            sample_file(model, out, SEED.value, COUNT.value, FRAMES.value or None, FPS.value or None)
            print(out)
            return
        runtime.start()
        from vgm_jax.tasks import build
        from vgm_jax.tasks.checks import check_known, check_networks, check_schedule

        if MODE.value == "train":
            check_known(config)
            check_schedule(config)
            check_networks(config)
        task, programs = build(config), None
        # What another run learnt is in the programs of one that starts from it.
        if getattr(task, "by_config", False) and not config.model.start:
            text = Path(str(recipe).split(":")[0]).read_bytes()  # behind a colon is what it is called with
            programs = beside_compiled(repr((plain(config), text)), IMPORTED)
        run = Run(task, config, workdir, programs=programs)
        try:
            if MODE.value == "train":
                run.train()
            run.summary(run.evaluate(), time.perf_counter() - launched)
        finally:
            run.close()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        raise SystemExit(stop.code) from None
    except KeyboardInterrupt:
        raise SystemExit("interrupted") from None
    except (ValueError, OSError, OverflowError, ImportError, RuntimeError) as error:
        if os.environ.get("VGM_TRACEBACK"):
            raise
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    use_huge_pages()
    app.run(main, flags_parser=parse)
