"""Physics: throughput, collectives, energy; models and measured tables; calibration."""
