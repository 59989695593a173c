# What an event did to its call, one form a line, as it is stored. A note is told by the first form that it has, so
# what begins with a fixed word stands above what begins with a name. One that is not here is shown as it is stored.

note-duplicate = duplicate: told before
note-unreadable = set aside: it cannot be read
note-aside = set aside: { $reason }
note-too-many = not told: the call has more than { $most } events

note-entered-before = no change: { $who } had entered the dialplan before
note-dialled-before = no change: leg { $who } had been dialled before
note-answered-before = no change: leg { $who } had answered before
note-ended-before = no change: channel of { $who } had ended before
note-dialplan-told = no change: the dialplan told it of { $who }
note-channel-known = no change: channel of { $who } is known
note-pbx-took = no change: the pbx took the call of { $who }
note-held-before = no change: { $who } had put the call on hold before
note-held-nobody = no change: { $who } had nobody on hold
note-lives = no change: the pbx says that the channel of { $who } lives
note-unknown-there = no change: the pbx does not know the channel of { $who }
note-recording-known = no change: recording known
note-no-text = no change: text is empty
note-no-file = no change: file is empty
note-ami-end-of = no change: ast-ami says { $word } for { $who }, also while a call goes on
note-ami-end = no change: ast-ami says { $word }, also while a call goes on
note-ami-word-of = no change where channels are known: ast-ami says { $word } for { $who }
note-ami-word = no change where channels are known: ast-ami says { $word }
note-record-agrees = no change: Asterisk's own record agrees
note-record-unanswered = no change: Asterisk's own record says that { $who } did not answer
note-record-answered = no change: Asterisk's own record says that { $who } answered
note-record-end = no change: Asterisk's own record ends { $who } { $seconds } s off

note-record-fills = Asterisk's own record tells the end of { $who }
note-record-both = Asterisk's own record tells of { $who } and { $whom }
note-record-tells = Asterisk's own record tells of { $who }
note-recording = recording noted
note-line = line for the story
note-gone = channel of { $who } is gone, its end was never told
note-ended-last = channel of { $who } ended; it was the last
note-ended = channel of { $who } ended
note-appeared = channel of { $who } appeared
note-hold = { $who } puts the call on hold
note-unhold = { $who } takes the call off hold
note-step = { $who } goes on to { $step }
note-rings = leg { $who } rings
note-answered = leg { $who } answered; call talking
note-calls-nowhere = { $who } calls the dialplan
note-calls = { $who } calls { $to }
note-dials-on = { $who } dials phones that are told of elsewhere
note-dials = { $who } dials { $numbers }
note-transferred-nowhere = { $who } transferred the call to the dialplan
note-transferred = { $who } transferred the call to { $to }
note-consults-nowhere = { $who } consults the dialplan
note-consults = { $who } consults { $to }

# What stands for a name that is not known
note-channel = a channel
note-somebody = somebody
note-word = a word
note-menu = a menu
note-queue = a queue
note-voicemail = voicemail
note-conference = a conference
note-announcement = an announcement
note-parked = a parked call
note-unknown-step = a step that is not known
