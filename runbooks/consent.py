"""Who agreed to a plan, by which door, and whether that is enough."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from runbooks.errors import BadRequest, NotApproved, PlanDrifted
from runbooks.plan import PlanSheet, difference


class Door(StrEnum):
    """How somebody came in. By the Prefect UI nobody knows who it was: Prefect's open-source server has no users."""

    PREFECT_UI = "prefect-ui"
    COMMAND_LINE = "command-line"
    BREAK_GLASS = "break-glass"
    SCHEDULE = "schedule"
    SLACK = "slack"
    TELEGRAM = "telegram"
    ALERT = "alert"


WHERE = {
    Door.PREFECT_UI: "in the Prefect UI",
    Door.COMMAND_LINE: "on the command line",
    Door.BREAK_GLASS: "breaking the glass",
    Door.SCHEDULE: "by a schedule",
    Door.SLACK: "in Slack",
    Door.TELEGRAM: "in Telegram",
    Door.ALERT: "by an alert",
}

PEOPLE = frozenset({Door.COMMAND_LINE, Door.BREAK_GLASS, Door.SLACK, Door.TELEGRAM})
"""The doors that know who comes in."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from: who asked for it, by which door, why, and where it can be watched.

    `person` is empty where the door does not know. `link` leads to the run; empty when there is no page of it.
    `parameters` are what the run was asked with, so that the same can be asked for again with the plan's digest.
    """

    run: str
    door: Door
    person: str = ""
    reason: str = ""
    name: str = ""
    link: str = ""
    parameters: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.person or 'somebody'} {WHERE[self.door]}"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's last word on one digest. `at` is in seconds since 1970, UTC."""

    person: str
    door: Door
    agrees: bool
    at: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What a runbook asks for before it changes anything.

    `approvals`: how many different people; `irreversible_approvals`: how many when a step of the plan cannot be undone,
    if that is more. `typed_digest_counts`: whether starting a run with the digest typed in is
    enough by itself; as nobody knows who typed it, only where one approval of anybody will do. `standing`: reversible
    plans go ahead without asking, where the deployment says so. `valid_s`: for how many seconds after it was last
    shown a plan may be approved, and after it was given an approval counts.
    """

    approvals: int = 1
    requester_may_approve: bool = False
    typed_digest_counts: bool = False
    doors: frozenset[Door] = field(default=PEOPLE)
    standing: bool = False
    valid_s: int = 1800
    irreversible_approvals: int = 1

    def __post_init__(self) -> None:
        if min(self.approvals, self.irreversible_approvals) < 1 or self.valid_s <= 0:
            raise ValueError("at least one approval, within some time")
        alone = self.approvals == 1 and self.requester_may_approve
        if self.typed_digest_counts and not alone:
            raise ValueError("who typed a digest is not known, and cannot be told from the requester or another voter")

    def of(self, sheet: PlanSheet) -> "Policy":
        """What holds for this very plan: more people where it cannot be undone, and then no typed digest."""
        if sheet.reversible or self.irreversible_approvals <= self.approvals:
            return self
        return replace(self, approvals=self.irreversible_approvals, typed_digest_counts=False)


@dataclass(frozen=True, slots=True)
class Ballot:
    """All that is known, when a run asks, about who agreed. Nothing here waits: a run asks once and acts or ends.

    `approve` is the digest that the run was started with; `shown` the plan that this digest named when people last saw
    it, at `shown_at`; `requester` who asked for that plan.
    """

    policy: Policy
    now: float
    approve: str | None = None
    shown: PlanSheet | None = None
    shown_at: float = 0.0
    requester: str = ""
    votes: tuple[Vote, ...] = ()

    def agreed(self, sheet: PlanSheet) -> tuple[str, ...] | None:
        """Who agreed to `sheet`, or None when nobody was asked to yet.

        Raises: NotApproved, PlanDrifted, BadRequest.
        """
        if self.approve is None:
            if not (self.policy.standing and sheet.reversible):
                return None
            self._veto(sheet)
            return ("standing consent",)
        self._same_plan(self.approve, sheet)
        self._veto(sheet)
        if self.now - self.shown_at > self.policy.valid_s:
            raise NotApproved(
                "approval-expired",
                f"plan {sheet.digest} was last shown {_minutes(self.now - self.shown_at)} ago and may be approved for "
                f"{_minutes(self.policy.valid_s)}",
                hint="start the run without a digest, read the plan again, and approve that",
            )
        policy = self.policy.of(sheet)
        people = tuple(sorted({vote.person for vote in self.votes if self._counts(vote)}))
        if len(people) >= policy.approvals:
            return people
        if policy.typed_digest_counts:
            return ("whoever typed the digest",)
        raise NotApproved(
            "approval-missing",
            f"plan {sheet.digest} has {len(people)} of {policy.approvals} approvals that count"
            + ("" if self.policy.requester_may_approve else f" (the requester, {self._requester()}, does not)"),
            hint=f"a person with the right to runs `runbook approve {sheet.digest}`",
        )

    def _veto(self, sheet: PlanSheet) -> None:
        refusals = [vote.person for vote in self.votes if not vote.agrees and self._fresh(vote)]
        if refusals:
            raise NotApproved(
                "plan-vetoed",
                f"plan {sheet.digest} was refused by {', '.join(sorted(set(refusals)))}",
                hint=f"talk to them; whoever refused can agree after all with `runbook approve {sheet.digest}`",
            )

    def _same_plan(self, approve: str, sheet: PlanSheet) -> None:
        if self.shown is None:
            raise BadRequest(
                "digest-unknown",
                f"no plan {approve} was shown for {sheet.target}, or it was carried out already",
                hint="start the run without a digest, read the plan, and approve the digest that it shows",
            )
        if (self.shown.runbook, self.shown.target) != (sheet.runbook, sheet.target):
            raise BadRequest(
                "digest-of-another-plan",
                f"{approve} is a plan of {self.shown.runbook} for {self.shown.target}, not of {sheet.runbook} for "
                f"{sheet.target}",
                hint=f"approve {sheet.digest} if that is what you want now",
            )
        if approve != sheet.digest:
            changes = difference(self.shown, sheet)
            raise PlanDrifted(
                "plan-drifted",
                f"{approve} was approved, but {sheet.target} now calls for {sheet.digest}: " + "; ".join(changes),
                hint=f"read the new plan; approve {sheet.digest} if it is still what you want",
                difference=changes,
            )

    def _fresh(self, vote: Vote) -> bool:
        return 0 <= self.now - vote.at <= self.policy.valid_s

    def _counts(self, vote: Vote) -> bool:
        known = bool(vote.person) and vote.door in PEOPLE & self.policy.doors
        own = vote.person == self.requester and not self.policy.requester_may_approve
        return vote.agrees and known and not own and self._fresh(vote)

    def _requester(self) -> str:
        return self.requester or "who is not known"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
