# Что событие изменило в звонке, по форме на строку. Имена приходят снаружи и показываются как есть, поэтому ни одна
# фраза не требует от имени ни рода, ни падежа.

note-duplicate = повтор: об этом уже сообщалось
note-unreadable = отложено: прочитать не удалось
note-aside = отложено: { $reason }
note-too-many = не учтено: в звонке больше { $most } событий

note-entered-before = без изменений: { $who } уже в диалплане
note-dialled-before = без изменений: вызов уже известен ({ $who })
note-answered-before = без изменений: ответ уже известен ({ $who })
note-ended-before = без изменений: канал { $who } уже закрыт
note-dialplan-told = без изменений: об этом сказал диалплан { $who }
note-channel-known = без изменений: канал { $who } уже известен
note-pbx-took = без изменений: звонок приняла АТС ({ $who })
note-held-before = без изменений: { $who } уже держит звонок на удержании
note-held-nobody = без изменений: { $who } никого не держит на удержании
note-lives = без изменений: по словам АТС, канал { $who } жив
note-unknown-there = без изменений: АТС не знает канала { $who }
note-recording-known = без изменений: запись уже известна
note-no-text = без изменений: текста нет
note-no-file = без изменений: имени файла нет
note-ami-end-of = без изменений: ast-ami сообщает { $word } ({ $who }) и тогда, когда звонок продолжается
note-ami-end = без изменений: ast-ami сообщает { $word } и тогда, когда звонок продолжается
note-ami-word-of = без изменений, если каналы известны: ast-ami сообщает { $word } ({ $who })
note-ami-word = без изменений, если каналы известны: ast-ami сообщает { $word }
note-record-agrees = без изменений: запись самого Asterisk говорит то же
note-record-unanswered = без изменений: по записи самого Asterisk { $who } не отвечает
note-record-answered = без изменений: по записи самого Asterisk { $who } отвечает
note-record-end = без изменений: по записи самого Asterisk конец { $who } отличается на { $seconds } с

note-record-fills = запись самого Asterisk сообщает конец { $who }
note-record-both = запись самого Asterisk сообщает о { $who } и { $whom }
note-record-tells = запись самого Asterisk сообщает о { $who }
note-recording = запись отмечена
note-line = строка для рассказа
note-gone = канала { $who } уже нет, о его конце не сообщалось
note-ended-last = канал { $who } закрыт, он был последним
note-ended = канал { $who } закрыт
note-appeared = появился канал { $who }
note-hold = { $who } ставит звонок на удержание
note-unhold = { $who } снимает звонок с удержания
note-step = { $who }: дальше { $step }
note-rings = вызывается { $who }
note-answered = { $who } отвечает, идёт разговор
note-calls-nowhere = { $who } входит в диалплан
note-calls = { $who } звонит на { $to }
note-dials-on = { $who } набирает телефоны, о которых сообщат другие каналы
note-dials = { $who } набирает { $numbers }
note-transferred-nowhere = { $who } переводит звонок в диалплан
note-transferred = { $who } переводит звонок на { $to }
note-consults-nowhere = { $who } советуется, входя в диалплан
note-consults = { $who } советуется: { $to }

# Что стоит вместо имени, которое неизвестно
note-channel = (без имени)
note-somebody = неизвестный номер
note-word = что-то
note-menu = меню
note-queue = очередь
note-voicemail = автоответчик
note-conference = конференция
note-announcement = объявление
note-parked = припаркованный звонок
note-unknown-step = неизвестный шаг
