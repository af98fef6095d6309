"""WHERE: work pools, containers, units, schedules. No logic."""
