"""`txnwatch metrics`: what Prometheus and Grafana are given."""

from pathlib import Path

import click

from infra.monitoring.dashboard import dashboard

ALERTS = Path(__file__).parent / "alerts.yml"


@click.group()
def metrics() -> None:
    """Files for Prometheus and Grafana: docs/operating.md has more."""


@metrics.command("alerts")
def alerts_command() -> None:
    """Print rules for Prometheus by which operators are alerted."""
    click.echo(ALERTS.read_text(), nl=False)


@metrics.command("dashboard")
def dashboard_command() -> None:
    """Print a dashboard that Grafana imports."""
    click.echo(dashboard())
