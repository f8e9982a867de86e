"""Version history, rollback and promotion for workflow deployments, inside the Git repository."""

__version__ = "0.1.0"
