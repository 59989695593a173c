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
no-answer = { $who } не отвечает { $wait }

transferred-blind = { $who } переводит звонок на { $to }
transferred-attended = { $who } переводит звонок на { $to }, сначала поговорив с тем, кто там ответил

recording = Запись разговора: { $text }
remark = { $text }

ended-caller = Звонящий кладёт трубку через { $talk } после ответа
ended-called = { $who } кладёт трубку через { $talk } после ответа
ended-pbx = АТС завершает звонок через { $talk } после ответа
ended = Разговор завершён через { $talk } после ответа
gave-up = Звонящий кладёт трубку через { $wait }, не дождавшись ответа
unanswered = Никто не ответил, звонок завершён через { $wait }
not-connected = Соединить не удалось
lost = Больше об этом звонке ничего не известно, в том числе когда он закончился

nobody = неизвестный номер

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
