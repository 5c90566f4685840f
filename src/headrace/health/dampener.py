"""What to believe of a target after each try. Pure."""

from dataclasses import dataclass

from headrace.model import Health


@dataclass(slots=True)
class Dampener:
    """Believe a change only after enough tries in a row say the same.

    `rise` must say up; `fall` must say down, or say nothing because they could not be made.
    """

    rise: int
    fall: int
    health: Health = Health.UNKNOWN
    vote: Health = Health.UNKNOWN  # what the last tries said
    streak: int = 0  # how many of them in a row

    def observe(self, vote: Health) -> Health | None:
        """Take what one try says; the new health, or None while belief is unchanged."""
        self.streak = self.streak + 1 if vote is self.vote else 1
        self.vote = vote
        if vote is self.health or self.streak < (self.rise if vote is Health.UP else self.fall):
            return None
        self.health = vote
        return vote
