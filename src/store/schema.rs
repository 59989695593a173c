//! The tables as diesel sees them, the same for every backend. `migrations/README.md` says what each is for.

#![allow(missing_docs)]

diesel::table! {
    events (id) {
        id -> BigInt,
        pbx -> Text,
        token -> Text,
        kind -> Text,
        feed -> Text,
        uid -> Text,
        linkedid -> Text,
        root -> Nullable<Text>,
        seq -> Nullable<BigInt>,
        at_us -> BigInt,
        timed -> Bool,
        received_us -> BigInt,
        channel -> Text,
        facts -> Text,
        agi -> Nullable<Text>,
        call_id -> Nullable<Text>,
        note -> Nullable<Text>,
        settled -> Bool,
    }
}

diesel::table! {
    members (pbx, channel) {
        pbx -> Text,
        channel -> Text,
        call_id -> Text,
    }
}

diesel::table! {
    calls (id) {
        id -> Text,
        pbx -> Text,
        linkedid -> Text,
        call_key -> Nullable<Text>,
        state -> Text,
        direction -> Text,
        org -> Nullable<Text>,
        trunk -> Nullable<Text>,
        src -> Nullable<Text>,
        src_name -> Nullable<Text>,
        dst -> Nullable<Text>,
        started_us -> BigInt,
        answered_us -> Nullable<BigInt>,
        ended_us -> Nullable<BigInt>,
        end_time_known -> Bool,
        answered_by -> Nullable<Text>,
        disposition -> Text,
        hung_up_by -> Nullable<Text>,
        cause -> Nullable<Integer>,
        wait_ms -> Nullable<BigInt>,
        talk_ms -> BigInt,
        abandoned -> Bool,
        doc -> Text,
        due_us -> Nullable<BigInt>,
        told_print -> Nullable<Text>,
        corrections -> Integer,
    }
}

diesel::table! {
    call_aliases (alias) {
        alias -> Text,
        call_id -> Text,
    }
}

diesel::table! {
    set_aside (call_id) {
        call_id -> Text,
        reason -> Text,
        at_us -> BigInt,
    }
}

diesel::table! {
    legs (call_id, n) {
        call_id -> Text,
        n -> Integer,
        uniqueid -> Text,
        channel -> Text,
        number -> Nullable<Text>,
        name -> Nullable<Text>,
        role -> Text,
        outcome -> Text,
        started_us -> BigInt,
        answered_us -> Nullable<BigInt>,
        ended_us -> Nullable<BigInt>,
        cause -> Nullable<Integer>,
        ring_ms -> Nullable<BigInt>,
        talk_ms -> BigInt,
    }
}

diesel::table! {
    cdr (call_id, n) {
        call_id -> Text,
        n -> Integer,
        calldate -> Text,
        clid -> Text,
        src -> Text,
        dst -> Text,
        dcontext -> Text,
        channel -> Text,
        dstchannel -> Text,
        lastapp -> Text,
        lastdata -> Text,
        duration -> BigInt,
        billsec -> BigInt,
        disposition -> Text,
        amaflags -> Integer,
        accountcode -> Text,
        uniqueid -> Text,
        userfield -> Text,
        peeraccount -> Text,
        linkedid -> Text,
        sequence -> Integer,
        calldate_us -> BigInt,
    }
}

diesel::table! {
    endings (pbx, linkedid) {
        pbx -> Text,
        linkedid -> Text,
        notice_id -> Text,
    }
}

diesel::table! {
    guests (pbx, host, call_id) {
        pbx -> Text,
        host -> Text,
        call_id -> Text,
    }
}

diesel::table! {
    notices (id) {
        id -> Text,
        call_id -> Text,
        kind -> Text,
        created_us -> BigInt,
        body -> Text,
    }
}

diesel::table! {
    deliveries (notice_id, endpoint) {
        notice_id -> Text,
        endpoint -> Text,
        created_us -> BigInt,
        due_us -> BigInt,
        attempts -> Integer,
        lease_token -> Nullable<Text>,
        lease_until_us -> BigInt,
        done_us -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        detail -> Nullable<Text>,
    }
}

diesel::table! {
    spool_marks (device, inode) {
        device -> Text,
        inode -> Text,
        offset_bytes -> BigInt,
        head -> Text,
        name -> Text,
        seen_us -> BigInt,
        garbage -> BigInt,
    }
}

diesel::table! {
    sent_marks (host, name, head) {
        host -> Text,
        name -> Text,
        head -> Text,
        taken -> BigInt,
        garbage -> BigInt,
        seen_us -> BigInt,
    }
}

diesel::table! {
    endpoints (name) {
        name -> Text,
        doc -> Text,
        created_us -> BigInt,
    }
}

diesel::table! {
    feeds (pbx, feed) {
        pbx -> Text,
        feed -> Text,
        doc -> Text,
    }
}

diesel::table! {
    runs (name) {
        name -> Text,
        begun_us -> BigInt,
    }
}

diesel::table! {
    endpoint_states (name) {
        name -> Text,
        state -> Text,
        since_us -> BigInt,
        reason -> Text,
    }
}

diesel::table! {
    endpoint_marks (endpoint, call_id, name) {
        endpoint -> Text,
        call_id -> Text,
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    attempts (notice_id, endpoint, n) {
        notice_id -> Text,
        endpoint -> Text,
        n -> Integer,
        at_us -> BigInt,
        took_us -> BigInt,
        outcome -> Text,
        status -> Nullable<Integer>,
        detail -> Text,
        answer -> Text,
    }
}

diesel::joinable!(deliveries -> notices (notice_id));
diesel::allow_tables_to_appear_in_same_query!(deliveries, notices);
diesel::allow_tables_to_appear_in_same_query!(calls, legs);
