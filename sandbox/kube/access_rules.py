"""The rules by which an API server lets a user do something, as it lists them itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Rule:
    """Verbs for resources (`pods`, `pods/log`) of groups; `*` stands for all of them."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]

    def allows(self, verb: str, group: str, resource: str) -> bool:
        pairs = ((verb, self.verbs), (group, self.groups), (resource, self.resources))
        return all({"*", name} & allowed for name, allowed in pairs)


@dataclass(frozen=True)
class Rules:
    """The rules for objects of any name; more may be allowed, for not every authorizer can list its rules."""

    rules: tuple[Rule, ...]

    @classmethod
    def read(cls, review: Mapping[str, Any]) -> Self:
        rules = (rule for rule in review["status"].get("resourceRules") or () if not rule.get("resourceNames"))
        keys = ("verbs", "apiGroups", "resources")
        return cls(tuple(Rule(*(frozenset(rule.get(key) or ()) for key in keys)) for rule in rules))

    def allow(self, verb: str, group: str, resource: str) -> bool:
        return any(rule.allows(verb, group, resource) for rule in self.rules)
