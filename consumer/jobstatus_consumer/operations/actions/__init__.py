"""What an operator changes, in two steps: a plan of exactly what would change, then that plan and no other."""

from jobstatus_consumer.operations.actions.applying import apply_exactly
from jobstatus_consumer.operations.actions.plan import Action, ActionPlan, Means
from jobstatus_consumer.operations.actions.replaying import MOST_OFFSETS
from jobstatus_consumer.operations.actions.requests import ACTIONS, action_of

__all__ = ["ACTIONS", "MOST_OFFSETS", "Action", "ActionPlan", "Means", "action_of", "apply_exactly"]
