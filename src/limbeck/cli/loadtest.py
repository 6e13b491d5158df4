"""limbeck loadtest: load for a server, and what it stood."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The server, such as http://127.0.0.1:8080.")
    ],
    rate: Annotated[
        float | None,
        typer.Option("--rate", "-r", help="Requests a second; with --find-rate the first try."),
    ] = None,
    duration: Annotated[
        float, typer.Option("--duration", "-d", help="Seconds that count, of each run.")
    ] = 30.0,
    warmup: Annotated[float, typer.Option(help="Seconds before that, which do not count.")] = 3.0,
    find_rate: Annotated[
        bool,
        typer.Option(
            "--find-rate",
            help="Find the largest Poisson rate at which --goal is met, by bisection.",
        ),
    ] = False,
    rates: Annotated[
        str | None, typer.Option(help="Several rates one after another, such as 50,100,200.")
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option(
            help="Share to be answered within the deadline; for --find-rate 0.99 unless said. "
            "Otherwise a run that misses it, or is void, leaves with 3."
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Of --find-rate: a search each; the median counts.")
    ] = "0,1,2",
    tolerance: Annotated[
        float, typer.Option(help="Of --find-rate: how close its ends come, relatively.")
    ] = 0.05,
    max_rate: Annotated[
        float, typer.Option(help="Of --find-rate: no rate above this is tried.")
    ] = 100_000.0,
    protocol: Annotated[
        str,
        typer.Option("--protocol", "-p", help="own, classic, oip, openai, hf, decision, or raw."),
    ] = "own",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Its name, for own, oip and openai.")
    ] = None,
    path: Annotated[
        str | None, typer.Option(help="Another path than the protocol's; needed for raw.")
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            help='Of raw: JSON with "{text}", perhaps "{id}" (another each time) and '
            '"{deadline_ms}".'
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Texts to send: CSV, JSONL, Parquet or lines."),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of those texts; default: by its usual name.")
    ] = None,
    texts_at_most: Annotated[
        int, typer.Option(min=1, help="Read so many of them, or make so many up.")
    ] = 2000,
    lengths: Annotated[
        str,
        typer.Option(
            help="Without --data: words of made-up texts: 32, 8-128, 8,16,128 or "
            "lognormal:MEDIAN:SIGMA."
        ),
    ] = "lognormal:48:0.7",
    rows: Annotated[int, typer.Option(min=1, help="Texts in each request.")] = 1,
    unique: Annotated[
        bool,
        typer.Option("--unique", help="Begin each text with another number: no cache knows it."),
    ] = False,
    deadline_ms: Annotated[
        str | None,
        typer.Option(help="Answers after that are late: 250, or a mix, 50:1,250:3 (by weight)."),
    ] = None,
    deadline_header: Annotated[
        str,
        typer.Option(help="Tells the server where the protocol has no field for it; '' for none."),
    ] = "X-Request-Timeout-Ms",
    priority: Annotated[
        str | None, typer.Option(help="Of own and oip: one, or a mix such as high:1,low:3.")
    ] = None,
    burst: Annotated[
        float | None,
        typer.Option(help="Bursts of so many times --rate, which then is the rate in between."),
    ] = None,
    burst_length: Annotated[float, typer.Option(help="Seconds of a burst.")] = 1.0,
    burst_every: Annotated[float, typer.Option(help="Seconds from burst to burst.")] = 10.0,
    even: Annotated[
        bool, typer.Option("--even", help="Equal gaps in place of Poisson arrivals.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(help="Recorded arrivals (CSV or JSONL) in place of --rate and --duration."),
    ] = None,
    replay_text: Annotated[
        str | None, typer.Option(help="Its column of texts, sent as they were.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(help="Its column of times (seconds, or ISO 8601 dates).")
    ] = None,
    speed: Annotated[float, typer.Option(help="So many times as fast as recorded.")] = 1.0,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", help="'Name: value', sent along; can be repeated."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="LIMBECK_API_KEY", help="Sent as 'Authorization: Bearer KEY'; best by variable."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds that the client waits. Default: four deadlines, at least 1; 30 without."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of arrivals and the order of texts.")] = 0,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that send; one does some thousands a second.")
    ] = 1,
    connections: Annotated[
        int, typer.Option(min=1, help="At most so many at a time, all processes together.")
    ] = 10_000,
    metrics: Annotated[
        str, typer.Option(help="Path of the server's metrics; '' leaves them alone.")
    ] = "/metrics",
    peak: Annotated[
        float | None, typer.Option(help="Requests a second at peak: how many replicas are needed?")
    ] = None,
    utilisation: Annotated[
        float, typer.Option(help="Share of its capacity that a replica shall use.")
    ] = 0.7,
    json: Annotated[
        str | None, typer.Option("--json", help="Write JSON lines to this file, or - for here.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
) -> None:
    """Send load to a server, open loop, and measure what it answers in time.

    Arrival times are drawn before the run. Each request is sent at its time, however slow the
    server is, and its latency counts from then: a slow server cannot hide behind a waiting client.
    A run whose generator was itself more than 5 ms late at p99 is void.

    Example: limbeck loadtest http://127.0.0.1:8080 --model demo --rate 100 --deadline-ms 250

    Example: limbeck loadtest http://127.0.0.1:8080 --model demo --deadline-ms 50 --find-rate

    Example: limbeck loadtest http://127.0.0.1:9000 -p raw --path /score --body '{"q": "{text}"}'
    --rates 50,100,200 --report curve.html
    """
    from limbeck.cli.loadtesting import Request, loadtest

    loadtest(
        Request(
            url=url,
            rate=rate,
            duration_s=duration,
            warmup_s=warmup,
            find_rate=find_rate,
            rates=rates,
            goal=goal,
            seeds=seeds,
            tolerance=tolerance,
            max_rate=max_rate,
            protocol=protocol,
            model=model,
            path=path,
            body=body,
            data=data,
            text_column=text_column,
            texts_at_most=texts_at_most,
            lengths=lengths,
            rows=rows,
            unique=unique,
            deadline_ms=deadline_ms,
            deadline_header=deadline_header,
            priority=priority,
            burst=burst,
            burst_length_s=burst_length,
            burst_every_s=burst_every,
            even=even,
            replay=replay,
            replay_text=replay_text,
            time_column=time_column,
            speed=speed,
            headers=tuple(header or ()),
            api_key=api_key,
            timeout_s=timeout,
            seed=seed,
            processes=processes,
            connections=connections,
            metrics=metrics,
            peak=peak,
            utilisation=utilisation,
            json=json,
            report=report,
        )
    )
