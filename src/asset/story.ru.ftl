# Что произошло со звонком, по сообщению на строку. Номера и имена приходят снаружи и показываются как есть,
# поэтому ни одна фраза не требует от имени ни рода, ни падежа.

call-in = Входящий звонок на линию { $to }: { $who }
call-out = { $who } звонит на { $to }
call-plain = Звонок на { $to }: { $who }
call-nowhere = Звонок: { $who }

rang = { $count ->
    [1] Вызывается { $who }
   *[other] Вызываются { $who }
}
rang-group = { $count ->
    [1] Вызывается { $who } (группа { $group })
   *[other] Вызываются { $who } (группа { $group })
}

answered = { $who } отвечает через { $wait }
busy = { $who }: занято
rejected = { $who } отклоняет звонок
unreachable = { $who }: дозвониться не удалось
unreachable-line = { $who }: дозвониться через { $line } не удалось
no-answer = { $who } не отвечает { $wait }

rang-often = Вызов повторялся: { $who }
times = { $who } { $count ->
    [one] { $count } раз
    [few] { $count } раза
   *[other] { $count } раз
}
held = { $who } ставит звонок на удержание
held-for = { $who } ставит звонок на удержание ({ $wait })
forwarded = { $who } переадресует звонок на { $to }
elsewhere = другой номер

rang-first = Сначала звонит телефон звонящего: { $who }
rang-first-for = Сначала звонит телефон звонящего: { $who } отвечает через { $wait }
picked-up = { $who } перехватывает звонок, который ждал ответа { $from }
picked-up-somewhere = { $who } перехватывает звонок
parked = { $named ->
    [yes] { $who } паркует звонок ({ $name })
   *[no] { $who } паркует звонок
}
parked-taken = { $who } забирает его через { $wait }
parked-returned = Никто его не забрал, звонок возвращается: { $who }
parked-returned-after = Никто не забрал его за { $wait }, звонок возвращается: { $who }

menu = { $named ->
    [yes] Звонящий слушает меню { $name }
   *[no] Звонящий слушает меню
}
menu-chose = { $named ->
    [yes] В меню { $name } выбрано { $digits }
   *[no] В меню выбрано { $digits }
}
menu-nothing = { $named ->
    [yes] В меню { $name } ничего не выбрано
   *[no] В меню ничего не выбрано
}
menu-wrong = { $named ->
    [yes] Такого пункта в меню { $name } нет
   *[no] Такого пункта в меню нет
}
queue = { $named ->
    [yes] Звонящий встаёт в очередь { $name }
   *[no] Звонящий встаёт в очередь
}
queue-behind = { $named ->
    [yes] Звонящий встаёт в очередь { $name } под номером { $position }
   *[no] Звонящий встаёт в очередь под номером { $position }
}
queue-waited = { $named ->
    [yes] Ожидание в очереди { $name }: { $wait }
   *[no] Ожидание в очереди: { $wait }
}
queue-timeout = { $named ->
    [yes] В очереди { $name } никто не отвечает { $wait }
   *[no] В очереди никто не отвечает { $wait }
}
queue-unmanned = { $named ->
    [yes] В очереди { $name } никого нет на месте
   *[no] В очереди никого нет на месте
}
queue-full = { $named ->
    [yes] В очереди { $name } нет мест
   *[no] В очереди нет мест
}
queue-left = { $named ->
    [yes] Звонящий покидает очередь { $name } через { $wait }
   *[no] Звонящий покидает очередь через { $wait }
}
voicemail = { $named ->
    [yes] Звонок попадает на автоответчик { $name }
   *[no] Звонок попадает на автоответчик
}
voicemail-left = { $named ->
    [yes] Звонящий оставляет сообщение на автоответчике { $name }
   *[no] Звонящий оставляет сообщение на автоответчике
}
voicemail-nothing = { $named ->
    [yes] Звонок попадает на автоответчик { $name }, сообщения нет
   *[no] Звонок попадает на автоответчик, сообщения нет
}
conference = { $named ->
    [yes] Звонящий входит в конференцию { $name }
   *[no] Звонящий входит в конференцию
}
announcement = { $named ->
    [yes] Звонящий слушает объявление { $name }
   *[no] Звонящий слушает объявление
}

transferred-blind = { $who } переводит звонок на { $to }
transferred-attended = { $who } переводит звонок на { $to }, сначала поговорив с тем, кто там ответил
transferred-ringing = { $who } переводит звонок на { $to }, не дождавшись ответа
consults = { $who } звонит на { $to }, а { $waiting } ждёт
returned = { $who } возвращается к прежнему разговору: { $waiting }
left-waiting = { $who } кладёт трубку, не дождавшись

recording = Запись разговора: { $text }
remark = { $text }

ended-caller = Звонящий кладёт трубку через { $talk } после ответа
ended-called = { $who } кладёт трубку через { $talk } после ответа
ended-lost = Связь прервалась через { $talk }
ended-pbx = АТС завершает звонок через { $talk } после ответа
ended = Разговор завершён через { $talk } после ответа
gave-up = Звонящий кладёт трубку через { $wait }, не дождавшись ответа
gave-up-queue = { $named ->
    [yes] Звонящий кладёт трубку через { $wait } в очереди { $name }, не дождавшись ответа
   *[no] Звонящий кладёт трубку через { $wait } в очереди, не дождавшись ответа
}
gave-up-parked = Никто не забрал его за { $wait }, звонящий кладёт трубку
ended-caller-way = Звонящий кладёт трубку через { $wait }
ended-pbx-way = АТС завершает звонок через { $wait }
gave-up-transferred = Звонящий кладёт трубку через { $wait } после перевода, не дождавшись ответа
not-taken = На переведённый звонок никто не ответил, он завершён через { $wait }
called-back = На переведённый звонок никто не ответил, и АТС перезвонила тому, кто переводил: { $who }; ответили ли там, она не сообщает. Звонок завершён через { $wait } после перевода
unanswered = Никто не ответил, звонок завершён через { $wait }
not-connected = Соединить не удалось
lost = Больше об этом звонке ничего не известно, в том числе когда он закончился

nobody = неизвестный номер

moment = мгновение

duration = { $hours ->
    [0] { $minutes ->
        [0] { $seconds } с
       *[other] { $seconds ->
            [0] { $minutes } мин
           *[other] { $minutes } мин { $seconds } с
        }
    }
   *[other] { $minutes ->
        [0] { $hours } ч
       *[other] { $hours } ч { $minutes } мин
    }
}
