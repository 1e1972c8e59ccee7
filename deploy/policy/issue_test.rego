# The tests of issue.rego. A bundle whose tests fail, or leave a rule without a match, is not loaded.
package crumb.issue_test

import data.crumb.issue
import rego.v1

# --- asks to start from: a nightly read of low risk, with nobody behind it

read_file := {"tool": "read_file", "operation": "read", "resource": "file:///docs/*", "risk": "low"}

write_file := {"tool": "write_file", "operation": "write", "resource": "file:///docs/*", "risk": "medium"}

delete_file := {"tool": "delete_file", "operation": "delete", "resource": "file:///docs/old.md", "risk": "high"}

night := {"unix_s": 1700103600, "hour_utc": 3, "weekday": "thursday"}

morning := {"unix_s": 1700128800, "hour_utc": 10, "weekday": "thursday"}

sunday := {"unix_s": 1700388000, "hour_utc": 10, "weekday": "sunday"}

bob := {"name": "bob@acme.example", "issuer": "acme-sso", "assurance": "verified"}

ask(grants, at) := {
	"agent": {"name": "research-bot", "environment": "production"},
	"session": {"depth": 0},
	"origin": {"kind": "schedule", "name": "nightly", "assurance": "asserted"},
	"subject": null,
	"ask": {"audience": "spiffe://acme.example/tool/files", "grants": grants, "reviewers": null},
	"time": at,
	"history": {"denied_last_hour": 0},
}

allowed(asked) if {
	count(issue.allow) > 0 with input as asked
	count(issue.deny) == 0 with input as asked
	count(issue.approval) == 0 with input as asked
}

denied(asked, because) if {
	some denial in issue.deny with input as asked
	contains(denial.because, because)
}

# --- what may be had at all

test_reads_of_low_risk_are_allowed_at_night if allowed(ask([read_file], night))

test_an_ask_for_nothing_is_not_allowed if count(issue.allow) == 0 with input as ask([], morning)

test_writes_wait_for_the_morning if {
	count(issue.allow) == 0 with input as ask([write_file], night)
	count(issue.allow) == 0 with input as ask([write_file], sunday)
	allowed(ask([write_file], morning))
}

test_a_read_does_not_carry_a_write_with_it if count(issue.allow) == 0 with input as ask([read_file, write_file], night)

test_a_user_behind_it_may_write_at_night if {
	allowed(object.union(ask([write_file], night), {"subject": bob}))
	user := {"origin": {"kind": "user", "name": "bob@acme.example", "assurance": "verified"}}
	allowed(object.union(ask([write_file], night), user))
}

test_a_user_that_the_agent_only_asserts_counts_for_nothing if {
	user := {"origin": {"kind": "user", "name": "bob@acme.example", "assurance": "asserted"}}
	count(issue.allow) == 0 with input as object.union(ask([write_file], night), user)
}

# --- who must agree first

test_high_risk_needs_the_group_of_the_tool_server if {
	asked := object.union(ask([delete_file], morning), {"subject": bob, "ask": {"reviewers": "files-owners"}})
	some approval in issue.approval with input as asked
	approval.from == "files-owners"
	approval.count == 1
	count(issue.allow) > 0 with input as asked
	count(issue.deny) == 0 with input as asked
}

test_high_risk_falls_to_security_where_no_group_is_registered if {
	some approval in issue.approval with input as ask([delete_file], morning)
	approval.from == "security"
}

# --- what nobody may have

test_high_risk_in_production_needs_a_verified_user if {
	denied(ask([delete_file], morning), "verified user")
	asserted := object.union(bob, {"assurance": "asserted"})
	denied(object.union(ask([delete_file], morning), {"subject": asserted}), "verified user")
}

test_development_may_try_high_risk_without_a_user if {
	asked := object.union(ask([delete_file], morning), {"agent": {"environment": "development"}})
	count(issue.deny) == 0 with input as asked
}

test_a_long_chain_of_agents_is_denied if {
	denied(object.union(ask([read_file], morning), {"session": {"depth": 4}}), "longer than 3")
	allowed(object.union(ask([read_file], morning), {"session": {"depth": 3}}))
}

# --- how much, for how long

test_the_lifetime_shrinks_with_the_risk if {
	ttl([read_file]) == 900
	ttl([read_file, write_file]) == 300
	ttl([read_file, write_file, delete_file]) == 60
}

ttl(grants) := min({c.ttl_s | some c in issue.clamp with input as ask(grants, morning)})

test_an_agent_that_is_denied_often_slows_down if {
	rate(0) == 60
	rate(20) == 6
}

rate(denials) := min({c.per_minute |
	asked := object.union(ask([read_file], morning), {"history": {"denied_last_hour": denials}})
	some c in issue.clamp with input as asked
})
