"""All tests."""

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business, and the other tests'.
settings.register_profile("refreeze", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("refreeze")
