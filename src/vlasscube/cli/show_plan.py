"""What a run would do, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from vlasscube.cli.console import make_console, make_table
from vlasscube.options import option_text
from vlasscube.records import Message
from vlasscube.run.planning import RunPlan, available_text
from vlasscube.texts import data_size, duration, printable

_MARKS = {"skip": "✓", "run": "→", "perhaps": "?"}


def show_plan(plan: RunPlan) -> None:
    """Print a plan."""
    console, cost, machine = make_console(), plan.estimate, plan.machine
    console.print(f"{printable(plan.image_name)}, from {printable(plan.measurement_set)}")
    console.print(
        f"{plan.fields} fields in {plan.scans} scans, {plan.visibilities / 1e6:.3g} million visibilities × 4"
    )
    console.print(f"{plan.nx} × {plan.ny} pixels of {plan.cell_arcsec:g}″ at {printable(plan.phasecenter)}")
    values = ", ".join(f"{name} {option_text(value)}" for name, value in plan.profile_values.items())
    console.print(f"Profile {printable(plan.profile)} ({values})")
    if not plan.from_records:
        console.print("Flags are not counted yet: planes without unflagged data will be left out.")
    console.print()
    rows = [
        (p.spw, f"{p.frequency_hz / 1e9:.4f}", f"{p.visibilities / 1e6:.3g}", p.state) for p in plan.planes
    ]
    right = ("GHz", "million visibilities")
    console.print(make_table(("spw", "GHz", "million visibilities", "state"), rows, right=right))
    console.print()
    steps = [(_MARKS[s.action], str(s.number), s.name, s.reason) for s in plan.steps]
    console.print(make_table(("", "#", "stage", "why"), steps, right=("#",)))
    console.print()
    console.print(
        f"Disk    {data_size(cost.disk_bytes)} at the peak, {data_size(cost.kept_bytes)} kept (data "
        f"{data_size(cost.ms_bytes)}, images {data_size(cost.images_bytes)}, cutouts "
        f"{data_size(cost.cutouts_bytes)}, FITS {data_size(cost.products_bytes)}, web log "
        f"{data_size(cost.weblog_bytes)}); "
        f"{data_size(machine.disk_used_bytes)} already used, {data_size(machine.disk_free_bytes)} free"
    )
    workers = f"{cost.workers} worker{'s' * (cost.workers > 1)}"
    console.print(
        f"Memory  {data_size(cost.memory_bytes)} for {workers} of {data_size(cost.worker_memory_bytes)} "
        f"and the main process; {printable(available_text(machine))}"
    )
    cycles = f"{sum(plan.pace.major_cycles):.0f} major cycles per plane"
    basis = (
        f"measured; planes finished: {plan.pace.planes}"
        if plan.pace.planes
        else "assumed; depends on the sky"
    )
    console.print(
        f"Time    {'' if plan.from_records else 'up to '}{duration(plan.remaining_seconds)} left of about "
        f"{duration(cost.seconds)} on {machine.cores} cores of {plan.speed.together:.1f} × the reference "
        f"speed ({cycles}, {basis})"
    )
    times = sorted(cost.stages, key=lambda stage: stage.seconds, reverse=True)[:4]
    console.print(f"        {', '.join(f'{stage.stage} {duration(stage.seconds)}' for stage in times)}")
    show_warnings(plan.warnings)


def show_warnings(warnings: Sequence[Message]) -> None:
    """Print warnings, each with its hint."""
    console = make_console()
    for message in warnings:
        console.print()
        console.print(f"{message.level}: {printable(message.text)}")
        if message.hint:
            console.print(f"  {printable(message.hint)}")
