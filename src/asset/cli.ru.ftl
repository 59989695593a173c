# Что командная строка говорит людям. То, что стоит в `…`, набирают как есть.

# Таблицы
head-started = Начало
head-from = Откуда
head-to = Куда
head-answered-by = Кто ответил
head-result = Итог
head-waited = Ожидание
head-talked = Разговор
head-id = Id
head-pbx = АТС
head-who = Кто
head-part = Роль
head-outcome = Итог
head-began = Начало
head-answered = Ответ
head-ended = Конец
head-rang = Вызов
head-cause = Причина
head-channel = Канал
head-time = Время
head-event = Событие
head-uniqueid = Uniqueid
head-seq = №
head-feed = Источник
head-did = Что изменило

# Чем закончился звонок
disposition-answered = Отвечен
disposition-no-answer = Без ответа
disposition-busy = Занято
disposition-failed = Не соединён
disposition-congestion = Нет свободных линий
result-gave-up = звонящий не дождался
result-transferred = с переводом
state-started = Начат
state-ringing = Идёт вызов
state-talking = Идёт разговор
state-ended = Завершён
direction-inbound = входящий
direction-outbound = исходящий
direction-internal = внутренний
direction-unknown = направление неизвестно
unknown = неизвестно

# Один звонок
on-trunk = линия { $trunk }
for-org = организация { $org }
answered-by = ответ: { $who }
waited = ожидание { $time }
talked = разговор { $time }
ended-by-caller = завершён звонящим
ended-by-called = завершён вызванной стороной
ended-by-pbx = завершён АТС
end-unknown = время окончания неизвестно
part-caller = звонит
part-called = вызван
part-called-group = вызван, { $group }
outcome-open = ещё на линии
outcome-answered = ответ
outcome-no-answer = нет ответа
outcome-elsewhere = ответили на другом
outcome-busy = занято
outcome-rejected = звонок отклонён
outcome-cancelled = звонящий не дождался
outcome-unreachable = не дозвонились
outcome-forwarded = переадресация
outcome-unanswered = никто не ответил
event-unsettled = ещё не разобрано
events-idle = { $count ->
    [one] { $count } событие
    [few] { $count } события
   *[other] { $count } событий
}, из них ничего не изменили: { $idle }
made-by-more = { $count ->
    [one] и ещё { $count } событие
    [few] и ещё { $count } события
   *[other] и ещё { $count } событий
}
made-by-silence = следует не из событий, а из молчания
no-such-call = звонок { $name } не найден: ни по id, ни по linkedid, ни по uniqueid, ни по ключу звонка; список покажет `calljournal calls`
more-than-one-call = с { $name } начинается несколько id; наберите больше знаков
call-gone = звонка { $id } уже нет
set-aside = Последние события сюда не вошли, их не удалось разобрать: { $reason }

# Списки
no-call = Звонков ещё нет. Позвоните или посмотрите, что скажет `calljournal check`.
no-match = { $count ->
    [one] В журнале { $count } звонок, под условия { $filters } не подходит ни один
    [few] В журнале { $count } звонка, под условия { $filters } не подходит ни один
   *[other] В журнале { $count } звонков, под условия { $filters } не подходит ни один
}. Уберите одно из условий или расширьте его: --since 30d покажет последние тридцать дней.
older = { $count ->
    [one] Показан только последний { $count } звонок
    [few] Показаны только последние { $count } звонка
   *[other] Показаны только последние { $count } звонков
}; больше: --limit { $more }

# export
exported = В { $file } выгружено { $count ->
    [one] { $count } звонок
    [few] { $count } звонка
   *[other] { $count } звонков
}

# Что сделал `spool send`
send-events = { $count ->
    [0] Новых событий для отправки нет.
    [one] Отправлено { $count } событие.
    [few] Отправлено { $count } события.
   *[other] Отправлено { $count } событий.
}
send-known = { $count ->
    [one] { $count } событие сервер уже знал.
    [few] { $count } события сервер уже знал.
   *[other] { $count } событий сервер уже знал.
}
send-garbage = { $count ->
    [one] { $count } байт не был событием; почему — в журнале сервера.
    [few] { $count } байта не были событием; почему — в журнале сервера.
   *[other] { $count } байт не были событием; почему — в журнале сервера.
}
send-half = { $count ->
    [one] { $count } строка так и не была дописана и пропущена.
    [few] { $count } строки так и не были дописаны и пропущены.
   *[other] { $count } строк так и не были дописаны и пропущены.
}
send-deleted = { $count ->
    [one] Удалён { $count } файл, который целиком есть на сервере.
    [few] Удалены { $count } файла, которые целиком есть на сервере.
   *[other] Удалено { $count } файлов, которые целиком есть на сервере.
}

# import
import-rows = { $count ->
    [one] Прочитана { $count } строка.
    [few] Прочитано { $count } строки.
   *[other] Прочитано { $count } строк.
}
import-unreadable = { $count ->
    [one] Из них не разобрана и пропущена { $count }.
   *[other] Из них не разобрано и пропущено { $count }.
}
import-same = { $count ->
    [one] без изменений: { $count } звонок
    [few] без изменений: { $count } звонка
   *[other] без изменений: { $count } звонков
}
import-added = { $count ->
    [one] добавлен: { $count } звонок
    [few] добавлено: { $count } звонка
   *[other] добавлено: { $count } звонков
}
import-would-add = { $count ->
    [one] был бы добавлен: { $count } звонок
    [few] было бы добавлено: { $count } звонка
   *[other] было бы добавлено: { $count } звонков
}
import-corrected = { $count ->
    [one] исправлен: { $count } звонок
    [few] исправлено: { $count } звонка
   *[other] исправлено: { $count } звонков
}
import-would-correct = { $count ->
    [one] был бы исправлен: { $count } звонок
    [few] было бы исправлено: { $count } звонка
   *[other] было бы исправлено: { $count } звонков
}
import-disagree = { $count ->
    [one] Из них по-другому записан в Asterisk { $count } звонок; подробности: `show ID --events`.
    [few] Из них по-другому записаны в Asterisk { $count } звонка; подробности: `show ID --events`.
   *[other] Из них по-другому записаны в Asterisk { $count } звонков; подробности: `show ID --events`.
}
import-refused = { $count ->
    [one] База данных не приняла { $count } строку, подробности в логе.
    [few] База данных не приняла { $count } строки, подробности в логе.
   *[other] База данных не приняла { $count } строк, подробности в логе.
}

# reconcile
reconcile-source = { $source } (АТС { $pbx }), начиная с { $since }
reconcile-total = Все источники
reconcile-otherwise = { $count ->
    [one] по-другому в Asterisk: { $count } звонок
    [few] по-другому в Asterisk: { $count } звонка
   *[other] по-другому в Asterisk: { $count } звонков
}
reconcile-only-ours = { $count ->
    [one] только в журнале: { $count } звонок
    [few] только в журнале: { $count } звонка
   *[other] только в журнале: { $count } звонков
}
reconcile-list-otherwise = По-другому записаны в Asterisk; в журнале остаётся то, что было рассказано, а чем они отличаются, покажет `show ID --events`:
reconcile-list-only-ours = Только в журнале:

# simulate
played = { $count ->
    [one] Разыгран { $count } звонок
    [few] Разыграно { $count } звонка
   *[other] Разыграно { $count } звонков
}, { $events }; подтверждение: p50 { $half } мс, p99 { $most } мс
played-events = { $count ->
    [one] { $count } событие
    [few] { $count } события
   *[other] { $count } событий
}
played-unheard = { $count ->
    [one] Не подтверждено { $count } событие
    [few] Не подтверждено { $count } события
   *[other] Не подтверждено { $count } событий
}: { $reason }
unheard-nobody = никто не отвечает: { $reason }
unheard-no-ack = вместо подтверждения пришло { $said }
unheard-closed = соединение закрыто без подтверждения
unheard-late = подтверждения нет дольше { $seconds } с
played-next = Посмотреть: `calljournal calls --pbx simulate`, убрать: `calljournal simulate --clean`.
cleaned = { $count ->
    [0] Разыгранных звонков в журнале нет.
    [one] Удалён { $count } разыгранный звонок.
    [few] Удалено { $count } разыгранных звонка.
   *[other] Удалено { $count } разыгранных звонков.
}

# migrate
migrate-absent = { $place }: базы ещё нет, её создаст `calljournal migrate`
migrate-current = { $place }: схема актуальна
migrate-pending = { $place }: версия { $version } ещё не установлена
migrate-done = { $place }: версия { $version } установлена

# check
mark-ok = в порядке
mark-warn = внимание
mark-fail = ОШИБКА
check-configuration = настройки: { $source }
check-no-file = по умолчанию, файл не указан
check-every-key = все ключи с пояснениями: calljournal check --defaults
check-port-free = { $name }: { $listen } свободен
check-port-ours = { $name }: на { $listen } работает calljournal (процесс { $pid })
check-port-held = { $name }: { $listen } занят программой { $program } (процесс { $pid })
check-port-held-todo = остановите её или выберите другой порт: { $key }
check-port-unseen = { $name }: { $listen } занят другим процессом
check-port-unseen-todo = от имени root эта проверка назовёт его; или выберите другой порт: { $key }
check-port-failed = { $name }: { $listen } занять не удаётся: { $reason }
check-port-failed-todo = { $key } должен быть адресом этой машины с портом, доступным этому пользователю
check-freepbx = FastAGI: порт 4573 принадлежит здесь FreePBX (core-fastagi), он нужен группам вызова
check-freepbx-server = укажите другой в calljournal.toml:
check-freepbx-dialplan = а для диалплана в /etc/asterisk/globals_custom.conf (dialplan/freepbx/ и без этого обращается туда):
check-local = FastAGI: подключиться можно только с этой машины
check-networks = FastAGI: открыт для { $networks }
check-open = FastAGI: записывать звонки может любой, кому доступен порт
check-open-todo = перечислите сети своих Asterisk в agi.allow или задайте agi.secret
check-database = база данных: { $url }, схема актуальна; надёжность записи serve проверяет при запуске
check-two-of-one-name = похоже, под именем { $pbx } работают два Asterisk: звонки одного могут быть приняты за звонки другого
check-two-of-one-name-todo = в [globals] каждого: CALLJOURNAL_PBX = своё имя
check-names-apart = AMI сообщал об АТС { $ami } то же, что диалплан об АТС { $dialplan }: похоже, это один Asterisk, и каждый его звонок записан дважды
check-names-apart-todo = впишите в его раздел [[ami]]:  pbx = "{ $dialplan }"
check-database-new = база данных: { $path } будет создана при первом запуске
check-database-nowhere = база данных: каталога { $path } нет
check-database-older = база данных: в { $place } старая схема или её нет: `calljournal serve` обновит её при запуске, `calljournal migrate` обновит только её
check-database-newer = база данных: { $place } создана более новой версией calljournal (схема { $version }): установите её или восстановите прежнюю копию базы
check-database-closed = база данных: { $place } не открывается: { $reason }
check-database-closed-file = проверьте, что каталог есть и что этот пользователь может в него писать
check-database-closed-server = проверьте, что PostgreSQL там работает, что база есть и что этот пользователь может в неё войти (docs/postgresql.md)
check-database-tls = база данных: { $place } требует TLS (sslmode), а эта сборка с PostgreSQL по TLS не работает: подключайтесь через loopback, сокет Unix или туннель (ssh -L, WireGuard) с sslmode=disable либо соберите calljournal с системной libpq (docs/postgresql.md)
check-database-wrong = база данных: { $reason }
check-database-wrong-todo = до исправления звонки не сохраняются и не показываются
check-nothing-to-do = больше ничего не нужно
check-made-too = если схемы ещё нет, так же будет создана и она
check-spool = спул: { $dir }
check-spool-open = спул: в { $dir } может писать кто угодно (права { $mode }): любой на этой машине может записывать звонки
check-spool-unshared = спул: у { $dir } права { $mode }, а не 2770: Asterisk и этот сервер могут не иметь доступа к файлам друг друга
check-spool-missing = спул: каталога { $dir } нет: события, которые сервер не принял, теряются
check-spool-no-directory = спул: { $dir } — не каталог: события, которые сервер не принял, теряются
check-spool-unreadable = спул: { $dir } не читается ({ $reason }): события, которые там ждут, не принимаются
check-spool-group = добавьте пользователя этого сервера в группу Asterisk: для systemd — SupplementaryGroups=asterisk, иначе — usermod -aG asterisk USER
check-ami = AMI на { $host }: протокол { $version }, вход как { $user }, живых каналов: { $channels }
check-ami-unproven =
    сообщает ли он о звонках, спросить нельзя. Для этого нужно  read = call,agent  в его разделе manager.conf:
    asterisk -rx 'manager show user { $user }'; если десять звонков пройдут неуслышанными, скажут и эта команда, и `calljournal status`
check-ami-mute = { $count ->
    [one] AMI на { $host } пускает { $user }, но ничего не сказал о последнем { $count } звонке, о котором сообщили другие
    [few] AMI на { $host } пускает { $user }, но ничего не сказал о последних { $count } звонках, о которых сообщили другие
   *[many] AMI на { $host } пускает { $user }, но ничего не сказал о последних { $count } звонках, о которых сообщили другие
}
check-ami-mute-todo =
    впишите в раздел { $user } в manager.conf:  read = call,agent  и уберите eventfilter; затем
    asterisk -rx 'manager reload' и перезапустите calljournal: кто уже вошёл, остаётся с прежними правами
check-ami-refused = AMI на { $host } не пускает { $user }: { $reason }
check-ami-refused-todo = сверьте user и secret, а также permit и deny, с разделом пользователя в manager.conf; целый пример в docs/ami.md
check-ami-no-list = AMI на { $host }: { $user } не вправе спросить, какие каналы живы
check-ami-no-list-todo = впишите в раздел { $user } в manager.conf:  read = call,agent  и  write = reporting
check-ami-none = на { $host } слушает не интерфейс AMI
check-ami-none-todo = сверьте host в [[ami]] с port в [general] файла manager.conf (5038, если не задан)
check-ami-away = AMI на { $host } недоступен: { $reason }
check-ami-away-todo = включён ли он в [general] файла manager.conf и слушает ли на этом адресе? asterisk -rx 'manager show settings'
check-nobody = уведомления: получателей нет ([[notify]] не задан)
check-receivers = уведомления: { $names }
check-receiver = уведомления для { $name }: { $what }
check-receiver-todo = что можно писать в шаблоне, сказано в docs/formats.md
check-no-way = уведомления: к { $name } нет пути: { $why }
check-no-way-todo = то, что для него записано, ждёт, пока это не исправлено

# Уведомления
head-written = Записано
head-kind = Уведомление
head-endpoint = Получатель
head-state = Состояние
head-attempts = Попыток
head-attempt = Попытка
head-next = Следующая
head-call = Звонок
head-detail = Что известно
head-took = Длилась
head-status = Статус
head-answer = Ответ получателя
notice-waiting = ждёт
notice-again = позже ещё раз
notice-delivered = доставлено
notice-dead = оставлено
notice-gone = больше не нужно
notice-refused = отвергнуто
notice-unsubscribed = подписка снята
notice-for-nobody = никому не нужно
no-notice = таких уведомлений нет
no-such-notice = нет уведомления, id которого начинается с { $id }; список: `calljournal notify ls`
more-than-one-notice = с { $id } начинается id нескольких уведомлений: напишите больше знаков
no-such-endpoint = получателя { $name } нет; есть: { $names }
notices-due-again = { $count ->
    [0] ничего такого не оставлено и не ждёт следующей попытки
    [one] { $count } уведомление отправляется снова
    [few] { $count } уведомления отправляются снова
   *[many] { $count } уведомлений отправляются снова
}
endpoint-paused = для { $name } ничего не отправляется до `calljournal notify resume { $name }`; записанное ждёт
endpoint-resumed = { $name } получит то, что ждёт
endpoint-not-held = { $name } не был ни приостановлен, ни остановлен
endpoint-is-paused = { $name } приостановлен с { $since }; продолжить: `calljournal notify resume { $name }`
endpoint-is-stopped = { $name } больше не хочет с { $since } ({ $reason }); продолжить: `calljournal notify resume { $name }`
test-well = дошло
test-failed = не дошло

# Как всё обстоит
head-since = С
head-last-event = Последнее событие
head-told-today = Сообщил сегодня
head-missed-today = Пропустил сегодня
feed-never = не появлялся
feed-up = работает
feed-late = опаздывает
feed-down = не работает
feed-agi = диалплан
feed-spool = спул
feed-push = ast-ami
feed-ami = AMI
feed-cdr = CDR
status-server-well = работает; http://{ $address }
status-server-degraded = работает, но что-то не в порядке или опаздывает; http://{ $address }
status-server-failing = не может работать: { $reason }
status-server-away = по адресу http://{ $address } сервер не отвечает
status-as-left = Сервер не отвечает: источники показаны такими, какими он их оставил.
status-database = база: { $place }, { $size }
status-calls = { $count ->
    [0] звонки: сейчас ни одного
    [one] звонки: сейчас идёт { $count }
    [few] звонки: сейчас идут { $count }
   *[many] звонки: сейчас идёт { $count }
}
status-set-aside = { $count ->
    [one] звонки: { $count } не удалось разобрать; почему, сказано в журнале сервера
   *[many] звонки: { $count } не удалось разобрать; почему, сказано в журнале сервера
}
status-no-notice = уведомления: ни одно не ждёт
status-notices = { $count ->
    [one] уведомления: { $count } ждёт получателя { $endpoint }, самое старое { $age }
   *[many] уведомления: { $count } ждут получателя { $endpoint }, самое старое { $age }
}
status-notices-held = { $count ->
    [one] уведомления: { $count } ждёт получателя { $endpoint } (приостановлен), самое старое { $age }
   *[many] уведомления: { $count } ждут получателя { $endpoint } (приостановлен), самое старое { $age }
}
status-spool = { $count ->
    [0] спул: в { $dir } ничего не ждёт
    [one] спул: в { $dir } ждёт { $count } файл
    [few] спул: в { $dir } ждут { $count } файла
   *[many] спул: в { $dir } ждут { $count } файлов
}
status-spool-unread = спул: каталога { $dir } нет, или вам нельзя его читать
status-forgotten = { $name } забыт; когда снова появится, за ним снова будут следить
status-not-known = о { $name } ничего не известно; что известно, показывает `calljournal status`
status-forget-how = напишите имя АТС, косую черту и источник, один из: { $feeds }
why-broken = соединения нет: { $detail }
why-silent = не подаёт признаков жизни: запущен ли ast-ami и достаёт ли он до этого сервера?
why-spooled = { $count ->
    [one] последний { $count } звонок пришёл через спул: с этой АТС до сервера не достать по FastAGI, или он отвечает слишком поздно
    [few] последние { $count } звонка пришли через спул: с этой АТС до сервера не достать по FastAGI, или он отвечает слишком поздно
   *[many] последние { $count } звонков пришли через спул: с этой АТС до сервера не достать по FastAGI, или он отвечает слишком поздно
}
why-missed-agi = { $count ->
    [one] { $by } сообщил о { $count } звонке подряд, о котором диалплан не сказал ничего: его контекст не подключён, или calljournal.conf не включён
   *[many] { $by } сообщил о { $count } звонках подряд, о которых диалплан не сказал ничего: их контексты не подключены, или calljournal.conf не включён
}
why-missed-ami = { $count ->
    [one] источник «{ $by }»: { $count } звонок подряд, о котором AMI не сказал ничего: есть ли у его пользователя read = call и нет ли eventfilter?
    [few] источник «{ $by }»: { $count } звонка подряд, о которых AMI не сказал ничего: есть ли у его пользователя read = call и нет ли eventfilter?
   *[many] источник «{ $by }»: { $count } звонков подряд, о которых AMI не сказал ничего: есть ли у его пользователя read = call и нет ли eventfilter?
}
why-missed = { $count ->
    [one] источник «{ $by }»: { $count } звонок подряд, о котором { $feed } не сказал ничего
    [few] источник «{ $by }»: { $count } звонка подряд, о которых { $feed } не сказал ничего
   *[many] источник «{ $by }»: { $count } звонков подряд, о которых { $feed } не сказал ничего
}
why-unwatched = его сейчас не слушает ни один сервер: есть ли он ещё в настройках и работает ли тот узел?
