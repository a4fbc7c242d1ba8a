"""What a cluster tells of our rights in a namespace, in one answer instead of one for each right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Rule:
    """Some verbs for some resources (`pods`, `pods/log`) of some groups; `*` stands for all of them."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]

    def allows(self, verb: str, group: str, resource: str) -> bool:
        """Whether it says so."""
        asked = ((verb, self.verbs), (group, self.groups), (resource, self.resources))
        return all({"*", one} & known for one, known in asked)


@dataclass(frozen=True)
class Rules:
    """The rules for objects of any name.

    What is not among them may be allowed all the same, for not every authorizer can list what it allows.
    """

    rules: tuple[Rule, ...]

    @classmethod
    def read(cls, review: Mapping[str, Any]) -> Self:
        """The rules in an answered SelfSubjectRulesReview (authorization.k8s.io/v1)."""
        found = (one for one in review["status"].get("resourceRules") or () if not one.get("resourceNames"))
        keys = ("verbs", "apiGroups", "resources")
        return cls(tuple(Rule(*(frozenset(one.get(key) or ()) for key in keys)) for one in found))

    def allow(self, verb: str, group: str, resource: str) -> bool:
        """Whether one of them says so."""
        return any(rule.allows(verb, group, resource) for rule in self.rules)
