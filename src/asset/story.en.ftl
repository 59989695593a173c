# What happened in a call, one message a line. Numbers and names come from outside and are shown as they are.

call-in = Call from { $who } on { $to }
call-out = { $who } called { $to }
call-plain = Call from { $who } to { $to }
call-nowhere = Call from { $who }

rang = { $who } rang
rang-group = { $group } rang: { $who }

answered = { $who } answered after { $wait }
busy = { $who } was busy
rejected = { $who } declined
unreachable = { $who } could not be reached
unreachable-line = { $who } could not be reached on { $line }
no-answer = { $who } did not answer for { $wait }

rang-often = Rang repeatedly: { $who }
times = { $who } { $count } times
held = { $who } put the call on hold
held-for = { $who } put the call on hold for { $wait }
forwarded = { $who } sent the call on to { $to }
elsewhere = another number

rang-first = The phone of { $who } rang first
rang-first-for = The phone of { $who } rang first, and was picked up after { $wait }
picked-up = { $who } picked up the call that rang at { $from }
picked-up-somewhere = { $who } picked up the call
parked = { $named ->
    [yes] { $who } parked the call ({ $name })
   *[no] { $who } parked the call
}
parked-taken = { $who } took it back after { $wait }
parked-returned = Nobody took it back: it returned to { $who }
parked-returned-after = Nobody took it back for { $wait }: it returned to { $who }

menu = { $named ->
    [yes] Heard the menu { $name }
   *[no] Heard the menu
}
menu-chose = { $named ->
    [yes] Chose { $digits } in the menu { $name }
   *[no] Chose { $digits } in the menu
}
menu-nothing = { $named ->
    [yes] Chose nothing in the menu { $name }
   *[no] Chose nothing in the menu
}
menu-wrong = { $named ->
    [yes] Pressed what the menu { $name } does not have
   *[no] Pressed what the menu does not have
}
queue = { $named ->
    [yes] Joined the queue { $name }
   *[no] Joined the queue
}
queue-behind = { $named ->
    [yes] Joined the queue { $name } as number { $position }
   *[no] Joined the queue as number { $position }
}
queue-waited = { $named ->
    [yes] Waited { $wait } in the queue { $name }
   *[no] Waited { $wait } in the queue
}
queue-timeout = { $named ->
    [yes] Nobody in the queue { $name } answered for { $wait }
   *[no] Nobody in the queue answered for { $wait }
}
queue-unmanned = { $named ->
    [yes] Nobody was there in the queue { $name }
   *[no] Nobody was there in the queue
}
queue-full = { $named ->
    [yes] Too many were waiting in the queue { $name }
   *[no] Too many were waiting in the queue
}
queue-left = { $named ->
    [yes] Left the queue { $name } after { $wait }
   *[no] Left the queue after { $wait }
}
voicemail = { $named ->
    [yes] Reached the voicemail of { $name }
   *[no] Reached the voicemail
}
voicemail-left = { $named ->
    [yes] Left a voicemail for { $name }
   *[no] Left a voicemail
}
voicemail-nothing = { $named ->
    [yes] Reached the voicemail of { $name } and left no message
   *[no] Reached the voicemail and left no message
}
conference = { $named ->
    [yes] Entered the conference room { $name }
   *[no] Entered a conference room
}
announcement = { $named ->
    [yes] Heard the announcement { $name }
   *[no] Heard an announcement
}

transferred-blind = { $who } transferred the call to { $to }
transferred-attended = { $who } transferred the call to { $to } after speaking with them
transferred-ringing = { $who } transferred the call to { $to }, who had not picked up yet
consults = { $who } called { $to } while { $waiting } waited
returned = { $who } went back to { $waiting }
left-waiting = { $who } hung up while waiting

recording = Recorded: { $text }
remark = { $text }

ended-caller = Ended by the caller after { $talk }
ended-called = Ended by { $who } after { $talk }
ended-lost = The connection was lost after { $talk }
ended-pbx = Ended by the phone system after { $talk }
ended = Ended after { $talk }
gave-up = The caller gave up after { $wait }
gave-up-queue = { $named ->
    [yes] The caller gave up after { $wait } in the queue { $name }
   *[no] The caller gave up after { $wait } in the queue
}
gave-up-parked = Nobody took it back for { $wait }, and the caller hung up
ended-caller-way = The caller hung up after { $wait }
ended-pbx-way = The phone system ended the call after { $wait }
gave-up-transferred = The caller hung up { $wait } after the transfer, before anybody answered
not-taken = Nobody answered the transferred call; it ended after { $wait }
called-back = Nobody answered the transferred call, so the phone system called { $who } back, and does not tell whether anybody answered there; the call ended { $wait } after the transfer
unanswered = Nobody answered; the call ended after { $wait }
not-connected = The call was not put through
lost = Nothing more was heard of this call; when it ended is not known

nobody = somebody

moment = a moment

duration = { $hours ->
    [0] { $minutes ->
        [0] { $seconds } s
       *[other] { $seconds ->
            [0] { $minutes } min
           *[other] { $minutes } min { $seconds } s
        }
    }
   *[other] { $minutes ->
        [0] { $hours } h
       *[other] { $hours } h { $minutes } min
    }
}
