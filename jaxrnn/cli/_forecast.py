"""Forecast the series of a table: train a network on all of them, and write the next steps with their intervals.

    jaxrnn forecast sales.csv --horizon 48 --freq h --minutes 2 --out forecast.csv
    jaxrnn forecast sales.csv --horizon 48 --save model.safetensors
    jaxrnn forecast new.csv --model model.safetensors --out forecast.csv      by what was trained before

The table has a line of names and a row for each value: y, and unique_id and ds where there are several series and dates
or whole numbers. As long as --minutes says, a minute by default, and seconds with --model.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax

from jaxrnn import forecast
from jaxrnn.cli import program


@dataclasses.dataclass(frozen=True)
class Options(program.Readable, program.OverDevices):
    """Those of `jaxrnn forecast`."""

    table: Annotated[Path, program.FIRST]
    """A file of comma-separated values with columns y, unique_id, ds, and any others."""
    horizon: int | None = None
    """How many steps to forecast; with --model, those that it was trained for."""
    freq: str | None = None
    """The step: h, D, MS, ... None: the most frequent one."""
    minutes: float = 1.0
    """About how long to train."""
    steps: int | None = None
    """How many updates at most; with it a result is the same on every run."""
    static: tuple[str, ...] = ()
    """Columns that stay for each series."""
    past: tuple[str, ...] = ()
    """Columns that are known up to now."""
    levels: tuple[float, ...] = (0.8,)
    """The probability of each interval."""
    members: int = 1
    """Networks whose median is taken."""
    seed: int = 0
    """Of the training."""
    model: Path | None = None
    """A file of --save: forecast by it, and train nothing."""
    save: Path | None = None
    """Where to put the trained model."""
    out: Path | None = None
    """Where to put the forecast, as the table is. None: it is printed."""
    FIGURE: ClassVar = False


TRAINS = "freq", "minutes", "steps", "static", "past", "members", "seed"  # the options that only training reads


def main(options: Options) -> dict[str, Any]:
    """Train or load, forecast, write; returns the forecast as columns, or where it is."""
    if not options.table.is_file():
        sys.exit(f"table: expected a file of comma-separated values, found none at {options.table}")
    table = forecast.read_csv(options.table)
    if options.model is not None:
        model = forecast.load(options.model)
        if options.horizon not in (None, model.horizon):
            raise program.Usage(f"--horizon: expected {model.horizon}, that of --model, got {options.horizon}")
        fields = {field.name: field.default for field in dataclasses.fields(options)}
        if idle := [name for name in TRAINS if getattr(options, name) != fields[name]]:
            raise program.Usage(f"--{idle[0]}: expected none with --model, which is trained already")
        found = model.predict(table, levels=options.levels)
    elif options.horizon is None:
        raise program.Usage("--horizon: expected a number of steps, got None; or give a --model")
    else:
        how: dict[str, Any] = {name: getattr(options, name) for name in ("freq", "steps", "static", "past", "members")}
        how |= {"minutes": options.minutes, "key": jax.random.key(options.seed)}
        model = forecast.fit(table, options.horizon, **how)
        print(model)
        found = model.predict(levels=options.levels)
    if options.save is not None:
        model.save(options.save)
        print(f"the model is in {options.save}")
    if options.out is None:
        print(found)
        return {name: [_plain(cell) for cell in column] for name, column in found.items()}
    found.to_csv(options.out)
    print(f"{len(model.ids)} series, {model.horizon} steps each: {options.out}")
    return {"out": str(options.out), "rows": len(found["ds"]), "columns": list(found)}


def _plain(cell: Any) -> Any:
    """A number or a text as JSON has them; NaN is null, a time its text."""
    cell = cell.item() if hasattr(cell, "item") and cell.dtype.kind in "iuf" else cell
    if isinstance(cell, float) and cell != cell:
        return None
    return cell if isinstance(cell, int | float) else str(cell)
