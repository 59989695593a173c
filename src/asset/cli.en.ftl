# What the command line says to people. What stands in `…` is typed, and stays as it is.

# Tables
head-started = Started
head-from = From
head-to = To
head-answered-by = Answered by
head-result = Result
head-waited = Waited
head-talked = Talked
head-id = Id
head-pbx = Pbx
head-who = Who
head-part = Part
head-outcome = Outcome
head-began = Began
head-answered = Answered
head-ended = Ended
head-rang = Rang
head-cause = Cause
head-channel = Channel
head-time = Time
head-event = Event
head-uniqueid = Uniqueid
head-seq = Seq
head-feed = Feed
head-did = What it did

# What came of a call
disposition-answered = ANSWERED
disposition-no-answer = NO ANSWER
disposition-busy = BUSY
disposition-failed = FAILED
disposition-congestion = CONGESTION
result-gave-up = gave up
result-transferred = transferred
state-started = started
state-ringing = ringing
state-talking = talking
state-ended = ended
direction-inbound = inbound
direction-outbound = outbound
direction-internal = internal
direction-unknown = direction unknown
unknown = unknown

# One call
on-trunk = on { $trunk }
for-org = for { $org }
answered-by = answered by { $who }
waited = waited { $time }
talked = talked { $time }
ended-by-caller = ended by the caller
ended-by-called = ended by the called side
ended-by-pbx = ended by the pbx
end-unknown = when it ended is not known
part-caller = caller
part-called = called
part-called-group = called, { $group }
outcome-open = open
outcome-answered = answered
outcome-no-answer = no answer
outcome-elsewhere = answered elsewhere
outcome-busy = busy
outcome-rejected = rejected
outcome-cancelled = cancelled
outcome-unreachable = unreachable
outcome-forwarded = forwarded
outcome-unanswered = nobody answered
event-unsettled = not settled yet
events-idle = { $count ->
    [one] One event
   *[other] { $count } events
}, of which { $idle } changed nothing
made-by-more = { $count ->
    [one] and one more event
   *[other] and { $count } more events
}
made-by-silence = follows from no event, but from silence
no-such-call = no call is known as { $name }: not by id, linkedid, uniqueid or call key; `calljournal calls` lists them
more-than-one-call = more than one id begins with { $name }; write more of it
call-gone = call { $id } is gone
set-aside = Its latest events are not part of this, since they could not be settled: { $reason }

# Lists
no-call = No call yet. Make one, or see what `calljournal check` says.
no-match = { $count ->
    [one] The one call in the journal does not match { $filters }
   *[other] None of the { $count } calls in the journal matches { $filters }
}. Leave a condition out or widen it: --since 30d begins thirty days ago.
older = { $count ->
    [one] Only the latest call is shown
   *[other] Only the latest { $count } calls are shown
}; more: --limit { $more }

# export
exported = { $count ->
    [one] One call is in { $file }
   *[other] { $count } calls are in { $file }
}

# What `spool send` did
send-events = { $count ->
    [0] No new event was there to send.
    [one] { $count } event was sent.
   *[other] { $count } events were sent.
}
send-known = { $count ->
    [one] { $count } event was known to the server already.
   *[other] { $count } events were known to the server already.
}
send-garbage = { $count ->
    [one] { $count } byte was no event; the server's log says why.
   *[other] { $count } bytes were no event; the server's log says why.
}
send-half = { $count ->
    [one] { $count } line was never completed and is given up.
   *[other] { $count } lines were never completed and are given up.
}
send-deleted = { $count ->
    [one] { $count } file that the server has wholly was deleted.
   *[other] { $count } files that the server has wholly were deleted.
}

# import
import-rows = { $count ->
    [one] One row read.
   *[other] { $count } rows read.
}
import-unreadable = { $count ->
    [one] One of them cannot be understood and is left out.
   *[other] { $count } of them cannot be understood and are left out.
}
import-same = { $count ->
    [one] same: one call
   *[other] same: { $count } calls
}
import-added = { $count ->
    [one] added: one call
   *[other] added: { $count } calls
}
import-would-add = { $count ->
    [one] would be added: one call
   *[other] would be added: { $count } calls
}
import-corrected = { $count ->
    [one] corrected: one call
   *[other] corrected: { $count } calls
}
import-would-correct = { $count ->
    [one] would be corrected: one call
   *[other] would be corrected: { $count } calls
}
import-disagree = { $count ->
    [one] Of the same, one call is told otherwise by Asterisk; `show ID --events` says how.
   *[other] Of the same, { $count } calls are told otherwise by Asterisk; `show ID --events` says how.
}
import-refused = { $count ->
    [one] One row was refused by the database, see the log.
   *[other] { $count } rows were refused by the database, see the log.
}

# reconcile
reconcile-source = { $source } (pbx { $pbx }), since { $since }
reconcile-total = All sources
reconcile-otherwise = { $count ->
    [one] told otherwise by Asterisk: one call
   *[other] told otherwise by Asterisk: { $count } calls
}
reconcile-only-ours = { $count ->
    [one] only in the journal: one call
   *[other] only in the journal: { $count } calls
}
reconcile-list-otherwise = Told otherwise by Asterisk; the journal keeps to what it was told, and `show ID --events` says how they differ:
reconcile-list-only-ours = Only in the journal:

# simulate
played = { $count ->
    [one] One call played
   *[other] { $count } calls played
}, { $events }; ack: p50 { $half } ms, p99 { $most } ms
played-events = { $count ->
    [one] one event
   *[other] { $count } events
}
played-unheard = { $count ->
    [one] One event was not acknowledged
   *[other] { $count } events were not acknowledged
}: { $reason }
unheard-nobody = nobody answers: { $reason }
unheard-no-ack = it answers { $said } and not with an ack
unheard-closed = it closes the connection without an ack
unheard-late = there is no ack after { $seconds } s
played-next = `calljournal calls --pbx simulate` shows them, `calljournal simulate --clean` takes them out again.
cleaned = { $count ->
    [0] There is no played call in the journal.
    [one] One played call was deleted.
   *[other] { $count } played calls were deleted.
}

# migrate
migrate-absent = { $place } does not exist yet: `calljournal migrate` makes it
migrate-current = { $place }: the schema is up to date
migrate-pending = { $place }: version { $version } is pending
migrate-done = { $place }: version { $version } was brought in

# check
mark-ok = ok
mark-warn = warn
mark-fail = FAIL
check-configuration = configuration: { $source }
check-no-file = defaults, no file named
check-every-key = every key with its meaning: calljournal check --defaults
check-port-free = { $name }: { $listen } is free
check-port-ours = { $name }: calljournal serves on { $listen } (process { $pid })
check-port-held = { $name }: { $listen } is held by { $program } (process { $pid })
check-port-held-todo = stop it, or choose another port: { $key }
check-port-unseen = { $name }: { $listen } is held by another process
check-port-unseen-todo = as root this check names it; or choose another port: { $key }
check-port-failed = { $name }: cannot listen on { $listen }: { $reason }
check-port-failed-todo = { $key } must be an address of this machine, and a port that this user may take
check-freepbx = FastAGI: port 4573 belongs to FreePBX here (core-fastagi), and its ring groups need it
check-freepbx-server = write another one into calljournal.toml:
check-freepbx-dialplan = and for the dialplan into /etc/asterisk/globals_custom.conf (dialplan/freepbx/ asks there without it):
check-local = FastAGI: this machine alone can connect
check-networks = FastAGI: open to { $networks }
check-open = FastAGI: anybody who reaches the port can write calls
check-open-todo = name the networks of your Asterisks in agi.allow, or set agi.secret
check-database = database: { $url }, schema up to date; serve checks at start that it is durable
check-two-of-one-name = two Asterisks seem to go by the name { $pbx }: calls of one may be taken for the other's
check-two-of-one-name-todo = in [globals] of each: CALLJOURNAL_PBX = a name of its own
check-names-apart = AMI told of { $ami } what the dialplan told of { $dialplan }: they seem to be one Asterisk, and each of its calls is there twice
check-names-apart-todo = write under its [[ami]]:  pbx = "{ $dialplan }"
check-database-new = database: { $path } will be made at the first start
check-database-nowhere = database: the directory { $path } does not exist
check-database-older = database: { $place } has an older schema, or none: `calljournal serve` brings it up to date at its start, `calljournal migrate` alone
check-database-newer = database: { $place } was made by a newer calljournal (schema { $version }): install that version, or restore the backup from before
check-database-closed = database: { $place } cannot be opened: { $reason }
check-database-closed-file = check that the directory exists and that this user may write there
check-database-closed-server = check that PostgreSQL runs there, that the database exists and that this user may log in (docs/postgresql.md)
check-database-tls = database: { $place } asks for TLS (sslmode), and this build has no TLS to PostgreSQL: connect over loopback, a Unix socket or a tunnel (ssh -L, WireGuard) with sslmode=disable, or build calljournal against the system's libpq (docs/postgresql.md)
check-database-wrong = database: { $reason }
check-database-wrong-todo = calls are neither kept nor shown until then
check-nothing-to-do = nothing else to do
check-made-too = where there is none yet, it is made so too
check-spool = spool: { $dir }
check-spool-open = spool: { $dir } can be written by everybody (mode { $mode }): anybody here could write calls
check-spool-unshared = spool: { $dir } has mode { $mode }, not 2770: Asterisk and this server may not both write there
check-spool-missing = spool: { $dir } is missing: events that the server does not take are lost
check-spool-no-directory = spool: { $dir } is no directory: events that the server does not take are lost
check-spool-unreadable = spool: { $dir } cannot be read ({ $reason }): what waits there is not taken in
check-spool-group = let this server's user into Asterisk's group: SupplementaryGroups=asterisk for systemd, else usermod -aG asterisk USER
check-ami = AMI at { $host }: protocol { $version }, logged in as { $user }, { $channels } channels live
check-ami-unproven =
    whether it tells of calls cannot be asked. That takes  read = call,agent  in its section of manager.conf:
    asterisk -rx 'manager show user { $user }'; when ten calls went by unheard, this and `calljournal status` say so
check-ami-mute = AMI at { $host } lets { $user } in, and told nothing of the last { $count } calls that others told
check-ami-mute-todo =
    write into the section of { $user } in manager.conf:  read = call,agent  and no eventfilter; then
    asterisk -rx 'manager reload', and restart calljournal: who is logged in keeps the rights that he had
check-ami-refused = AMI at { $host } refused the log-in of { $user }: { $reason }
check-ami-refused-todo = compare user and secret, and permit and deny, with the user's section of manager.conf; docs/ami.md shows a whole one
check-ami-no-list = AMI at { $host }: { $user } may not ask which channels live
check-ami-no-list-todo = write into the section of { $user } in manager.conf:  read = call,agent  and  write = reporting
check-ami-none = what listens at { $host } is no manager interface
check-ami-none-todo = compare [[ami]] host with port in [general] of manager.conf (5038 where none is set)
check-ami-away = AMI at { $host } is away: { $reason }
check-ami-away-todo = is it enabled in [general] of manager.conf, and does it listen on that address? asterisk -rx 'manager show settings'
check-nobody = notices: nobody wants any ([[notify]] is not set)
check-receivers = notices: to { $names }
check-receiver = notices to { $name }: { $what }
check-receiver-todo = docs/formats.md says what a template may hold
check-no-way = notices: there is no way to { $name }: { $why }
check-no-way-todo = what is written for it waits until that is right

# Notices
head-written = Written
head-kind = Notice
head-endpoint = Endpoint
head-state = State
head-attempts = Attempts
head-attempt = Attempt
head-next = Next attempt
head-call = Call
head-detail = What was said
head-took = Took
head-status = Status
head-answer = The receiver said
notice-waiting = waits
notice-again = again later
notice-delivered = delivered
notice-dead = dead
notice-gone = wants no more
notice-refused = refused
notice-unsubscribed = unsubscribed
notice-for-nobody = nobody wanted it
no-notice = there are no such notices
no-such-notice = no notice has an id that begins with { $id }: `calljournal notify ls` lists them
more-than-one-notice = more than one notice has an id that begins with { $id }: write more of it
no-such-endpoint = there is no endpoint called { $name }; there are: { $names }
notices-due-again = { $count ->
    [0] nothing of that was given up or waits for its next attempt
    [one] one notice is due again
   *[other] { $count } notices are due again
}
endpoint-paused = nothing is sent to { $name } until `calljournal notify resume { $name }`; what is written for it waits
endpoint-resumed = { $name } gets what waits for it
endpoint-not-held = { $name } was neither paused nor stopped
endpoint-is-paused = { $name } is paused since { $since }: go on with `calljournal notify resume { $name }`
endpoint-is-stopped = { $name } wants no more since { $since } ({ $reason }): go on with `calljournal notify resume { $name }`
test-well = it arrived
test-failed = it did not arrive

# How everything stands
head-since = Since
head-last-event = Last event
head-told-today = Told today
head-missed-today = Missed today
feed-never = never seen
feed-up = up
feed-late = late
feed-down = down
feed-agi = dialplan
feed-spool = spool
feed-push = ast-ami
feed-ami = AMI
feed-cdr = CDR
status-server-well = serves; http://{ $address }
status-server-degraded = serves, but something is down or late; http://{ $address }
status-server-failing = cannot work: { $reason }
status-server-away = no server answers at http://{ $address }
status-as-left = No server answers: the feeds are as the last one left them.
status-database = database: { $place }, { $size }
status-calls = { $count ->
    [0] calls: none goes on
    [one] calls: one goes on
   *[other] calls: { $count } go on
}
status-set-aside = { $count ->
    [one] calls: one could not be settled; the log says why
   *[other] calls: { $count } could not be settled; the log says why
}
status-no-notice = notices: none waits
status-notices = { $count ->
    [one] notices: one waits for { $endpoint }, for { $age }
   *[other] notices: { $count } wait for { $endpoint }, the oldest for { $age }
}
status-notices-held = { $count ->
    [one] notices: one waits for { $endpoint }, which is held, for { $age }
   *[other] notices: { $count } wait for { $endpoint }, which is held, the oldest for { $age }
}
status-spool = { $count ->
    [0] spool: nothing waits in { $dir }
    [one] spool: one file waits in { $dir }
   *[other] spool: { $count } files wait in { $dir }
}
status-spool-unread = spool: { $dir } is not there, or you may not read it
status-forgotten = { $name } is forgotten; it is followed again when it is heard again
status-not-known = nothing is known of { $name }; `calljournal status` shows what is
status-forget-how = write the pbx, a slash and the feed, which is one of { $feeds }
why-broken = the connection is away: { $detail }
why-silent = its heartbeat stays away: is ast-ami running, and does it reach this server?
why-spooled = the last { $count } calls came through the spool: the server is not reached from that pbx by FastAGI, or answers too late
why-missed-agi = { $by } told { $count } calls in a row of which the dialplan said nothing: their contexts are not hooked, or calljournal.conf is not included
why-missed-ami = { $by } told { $count } calls in a row of which AMI said nothing: does its user have read = call, and no eventfilter?
why-missed = { $by } told { $count } calls in a row of which { $feed } said nothing
why-unwatched = no server listens to it at present: is it still in the configuration, and does that node run?
