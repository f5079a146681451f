"""What a program exposes to Prometheus, read as Prometheus reads it."""

from prometheus_client.parser import text_string_to_metric_families


def samples(text: str, name: str) -> dict[str, float]:
    """The numbers of this name by the values of their labels, with commas between."""
    families = text_string_to_metric_families(text)
    found = [one for family in families for one in family.samples if one.name == name]
    return {",".join(one.labels.values()): one.value for one in found}
