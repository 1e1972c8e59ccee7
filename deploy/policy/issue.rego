# What a company can start from. Numbers and hours are in data.yaml; every rule is made to match by a test in issue_test.rego.
#
#   crumb policy test deploy/policy
#
# What no rule allows is denied. A deny beats an approval, an approval beats an allow, and the smallest clamp counts.
package crumb.issue

import rego.v1

# --- what may be had at all

allow contains {"because": "reads of low risk, inside the declared scope"} if {
	asks_for_something
	every grant in input.ask.grants {
		grant.risk == "low"
		grant.operation == "read"
	}
}

allow contains {"because": "up to medium risk, in working hours"} if {
	asks_for_something
	highest_risk in {"low", "medium"}
	working_hours
}

allow contains {"because": "up to medium risk, with a user behind it"} if {
	asks_for_something
	highest_risk in {"low", "medium"}
	user_behind_it
}

allow contains {"because": "high risk, once it is approved"} if {
	highest_risk == "high"
}

# --- who must agree first

approval contains {
	"because": "what cannot be undone is approved by those who answer for the tools",
	"from": reviewers,
	"count": 1,
} if {
	highest_risk == "high"
}

# --- what nobody may have

deny contains {
	"because": "high risk in production needs a verified user behind it",
	"fix": "open the session with the user's subject token",
} if {
	highest_risk == "high"
	input.agent.environment == "production"
	not verified_subject
}

deny contains {
	"because": sprintf("the chain of agents is longer than %d", [data.limits.session_depth]),
	"fix": "let the first agent of the chain ask for itself",
} if {
	input.session.depth > data.limits.session_depth
}

# --- how much, for how long

clamp contains {
	"because": sprintf("tokens of %s risk live this long", [highest_risk]),
	"ttl_s": data.limits.ttl_s[highest_risk],
} if {
	asks_for_something
}

clamp contains {"because": "the rate of one agent", "per_minute": data.limits.per_minute} if {
	asks_for_something
}

clamp contains {"because": "an agent that is denied again and again slows down", "per_minute": data.limits.per_minute_after_denials} if {
	input.history.denied_last_hour >= data.limits.denials_an_hour
}

# --- words that the rules above use

asks_for_something if count(input.ask.grants) > 0

highest_risk := "high" if {
	some grant in input.ask.grants
	grant.risk == "high"
} else := "medium" if {
	some grant in input.ask.grants
	grant.risk == "medium"
} else := "low" if {
	asks_for_something
}

working_hours if {
	input.time.weekday in data.working.days
	input.time.hour_utc >= data.working.from_hour_utc
	input.time.hour_utc < data.working.to_hour_utc
}

user_behind_it if verified_subject

user_behind_it if {
	input.origin.kind == "user"
	input.origin.assurance == "verified"
}

verified_subject if input.subject.assurance == "verified"

# The group of the tool server, as it is registered; where none is, security.
reviewers := input.ask.reviewers if {
	is_string(input.ask.reviewers)
} else := "security" if {
	asks_for_something
}
