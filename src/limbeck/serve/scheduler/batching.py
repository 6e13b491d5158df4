"""Which rows go into the batch that starts now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from limbeck.serve.scheduler.admission import level_s
from limbeck.serve.scheduler.job import SchedulerConfig
from limbeck.serve.scheduler.order import Entry

# Jobs of the lane that do not fit any more before a batch counts as full.
_MISFITS = 4

Chosen = list[tuple[Entry, int]]


def fill(
    now: float,
    waiting: Iterable[Entry],
    config: SchedulerConfig,
    backlog_s: float,
    others_free_in_s: Sequence[float],
) -> tuple[Chosen, float]:
    """Choose rows, most urgent first, from the lane of the most urgent job.

    A batch may take until its earliest deadline, `max_batch_s`, and the level at which all workers
    would have shared what waits. Passing over a job (of another lane, or one that does not fit)
    binds those taken after it: it must still be in time after this batch, or at the next worker
    that becomes free.

    waiting: in order; the first starts whatever it costs. backlog_s: predicted work of all that
    waits. others_free_in_s: of the workers that run something, or nothing; ascending.

    Returns: (entry, number of its waiting rows to take), at least one; predicted seconds.
    """
    cap_s = config.max_batch_s
    shared_s = level_s([0.0, *others_free_in_s], backlog_s) if others_free_in_s else cap_s
    next_free_s = others_free_in_s[0] if others_free_in_s else None
    chosen: Chosen = []
    rows_left, tokens_left = config.max_batch_rows, config.max_batch_tokens
    took_s = passed_s = q1 = q2 = 0.0
    misfits = 0
    lane: object = None
    for seen, entry in enumerate(waiting):
        if seen >= config.scan or rows_left <= 0:
            break
        job = entry.job
        left_s = job.deadline - now
        count = 0
        if not chosen:
            lane = job.lane
            cost = entry.cost
            q1, q2 = cost.q1, cost.q2
            length = job.lengths[entry.next_row]
            took_s = cost.q0 + q1 * length + q2 * length * length
            tokens_left -= length
            rows_left -= 1
            count = 1
            cap_s = min(cap_s, shared_s + cost.q0)
        elif entry.service_s > left_s:
            continue  # expires when its turn comes; it binds nobody
        if job.lane == lane:
            end_s = min(cap_s, left_s)
            index = entry.next_row + count
            lengths = job.lengths
            while index < entry.rows and rows_left > 0:
                length = lengths[index]
                then_s = took_s + q1 * length + q2 * length * length
                if length > tokens_left or then_s > end_s:
                    break
                took_s = then_s
                tokens_left -= length
                rows_left -= 1
                index += 1
                count += 1
            if count:
                chosen.append((entry, count))
                cap_s = end_s
                if index == entry.rows:
                    continue
            misfits += 1
            if misfits >= _MISFITS:
                break
        # Passed over, as a whole or in part.
        passed_s += entry.service_s
        if next_free_s is None or next_free_s + passed_s > left_s:
            bound_s = left_s - passed_s
            if took_s <= bound_s < cap_s:
                cap_s = bound_s
        if took_s >= cap_s or tokens_left <= 0:
            break
    return chosen, took_s
