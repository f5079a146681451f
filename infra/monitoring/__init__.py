"""What Prometheus and Grafana are given: rules by which operators are alerted, and a dashboard."""
