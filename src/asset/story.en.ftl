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
no-answer = { $who } did not answer for { $wait }

transferred-blind = { $who } transferred the call to { $to }
transferred-attended = { $who } transferred the call to { $to } after speaking with them

recording = Recorded: { $text }
remark = { $text }

ended-caller = Ended by the caller after { $talk }
ended-called = Ended by { $who } after { $talk }
ended-pbx = Ended by the phone system after { $talk }
ended = Ended after { $talk }
gave-up = The caller gave up after { $wait }
unanswered = Nobody answered; the call ended after { $wait }
not-connected = The call was not put through
lost = Nothing more was heard of this call; when it ended is not known

nobody = somebody

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
