/* Durable publish/subscribe, PROTOCOL.md 8.7: one publisher with a ring, one store beside the path, one
 * member of a durable group that reads both. Checked exhaustively by check.py: every order of steps, with
 * FAULTS faults at any moment, each a crash of the store or of the reader or the reset of a link.
 *
 * What must hold:
 *   I1  what the publisher takes for confirmed is durable
 *   I2  what the group has durably done was stored durably
 *   I3  what the group has durably done was given to the application
 *   I4  a position is given after all before it (or again, after a crash of the reader)
 *   I5  nothing gets stuck before the group has done everything
 *
 * Left out: several sources and epochs, credit, trimming, damage; the simulations in
 * tests/unit/protocol play those. A link is a pair of FIFO channels that loses all at once.
 *
 * Each BUG_ macro plants one mistake that check.py expects to be found.
 */

#ifndef MESSAGES
#define MESSAGES 3
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#define RING 2
#define FRAMES 1
#define room(c, size) (len(c) < size)

mtype = { BATCH, GONE, HEAD, OPENED, CONFIRM, REFUSED };

chan to_store = [FRAMES] of { byte };              /* APPEND of one message */
chan from_store = [FRAMES] of { mtype, byte };     /* SOURCE_OPENED, CONFIRM, APPEND_REFUSED */
chan live = [FRAMES] of { mtype, byte };           /* publisher to reader */
chan repairs = [1] of { byte };                    /* reader to publisher */
chan history = [FRAMES] of { byte };               /* store to reader */
chan acks = [1] of { byte };                       /* reader to store, cumulative */

byte faults = FAULTS;

/* Publisher */
byte last, held = 1, confirmed, append_next;       /* append_next 0: the source is not open */
byte live_next = 1;
bool greeted;                                      /* the reader's subscription was answered */

/* Store: received, durable; the group's floor likewise; what is acked beyond what was received */
byte received, durable, told, done, done_durable, done_waits;
bool subscribed;                                   /* the reader reads history */
byte history_next;
bool attached;                                     /* the reader's group membership */

/* Reader */
byte next = 1, acked, first_held;                  /* first_held 0: not told yet */
bool is_live;
byte given;                                        /* a bit a position */

#define bit(n) (1 << ((n) - 1))
#define up_to(n) ((1 << (n)) - 1)

inline lower(a, b) { if :: a > b -> a = b :: else fi }
inline raise(a, b) { if :: a < b -> a = b :: else fi }

inline check() {
    assert(confirmed <= durable);                              /* I1 */
    assert(done_durable <= durable);                           /* I2 */
    assert((given & up_to(done_durable)) == up_to(done_durable)) /* I3 */
}

inline give(n) {
    assert(n == 1 || (given & bit(n - 1)) != 0);               /* I4 */
    given = given | bit(n);
    next = n + 1
}

inline drain_bytes(c) { do :: nempty(c) -> c?scratch :: empty(c) -> break od; scratch = 0 }
inline drain_frames(c) { do :: nempty(c) -> c?kind, scratch :: empty(c) -> break od; scratch = 0; kind = 0 }

inline lose_store_link_of_publisher() {
    drain_bytes(to_store); drain_frames(from_store); append_next = 0
}

inline lose_store_link_of_reader() {
    drain_bytes(history); drain_bytes(acks); attached = false; subscribed = false
}

inline lose_live_link() { drain_frames(live); drain_bytes(repairs); greeted = false; is_live = false; first_held = 0 }

inline read_history() {
    /* SUBSCRIBE with the next position; frames of the subscription before it are dropped. */
    drain_bytes(history); subscribed = attached; history_next = next
}

inline go_live_if_held() {
    if
    :: !is_live && first_held != 0 && first_held <= next && room(repairs, 1) ->
        is_live = true; repairs!next; subscribed = false; drain_bytes(history)
    :: else
    fi
}

active proctype Publisher() {
    byte n, scratch; mtype kind;
end:
    do
    :: atomic { last < MESSAGES && last + 1 - held < RING -> last++ }
    /* The ring gives up what is durable; policy `block`. */
#ifdef BUG_EVICT
    :: atomic { held <= last && held < live_next -> held++ }
#else
    :: atomic { held <= last && held <= confirmed -> held++ }
#endif
    /* OPEN_SOURCE and its answer: a commit of the store, which takes along what came before. */
    :: atomic { append_next == 0 && empty(from_store) && empty(to_store) ->
        durable = received; done_durable = done; told = durable; from_store!OPENED, durable }
    :: atomic { append_next != 0 && append_next <= last && nfull(to_store) ->
        if
        :: append_next >= held -> to_store!append_next; append_next++
        :: else -> assert(false)                    /* it would have to say LOST */
        fi }
    :: atomic { from_store?kind, n ->
        if
        :: kind == OPENED ->
#ifdef BUG_NO_RETURN
            append_next = last + 1
#else
            append_next = n + 1
#endif
            ; raise(confirmed, n)
        :: kind == CONFIRM -> if :: n < append_next -> raise(confirmed, n) :: else fi
        :: kind == REFUSED -> append_next = n
        fi; n = 0; kind = 0; check() }
    :: atomic { !greeted && empty(live) && empty(repairs) ->
        /* SUBSCRIBE and SUBSCRIBED with its head. */
        greeted = true; live_next = next; live!HEAD, held }
    :: atomic { greeted && live_next <= last && nfull(live) ->
        if
        :: live_next < held -> live!GONE, held - 1; live_next = held
        :: else -> live!BATCH, live_next; live_next++
        fi }
    :: atomic { repairs?n -> live_next = n; n = 0 }
    od
}

active proctype Store() {
    byte n, scratch; mtype kind;
end:
    do
    :: atomic { to_store?n ->
        if
        :: n == received + 1 -> received = n
        :: n <= received                            /* a repeat */
        :: else -> if :: room(from_store, FRAMES) -> from_store!REFUSED, received + 1 :: else fi
        fi; n = 0 }
    :: atomic { done_waits > done && received > done ->
        done = done_waits; lower(done, received) }
    :: atomic { received > durable || done > done_durable ->   /* one commit, one sync */
        durable = received; done_durable = done; check() }
#ifdef BUG_EARLY_CONFIRM
    :: atomic { received > told && append_next != 0 && nfull(from_store) ->
        from_store!CONFIRM, received; told = received }
#else
    :: atomic { durable > told && append_next != 0 && nfull(from_store) ->
        from_store!CONFIRM, durable; told = durable }
#endif
    :: atomic { subscribed && history_next <= durable && nfull(history) ->
        history!history_next; history_next++ }
    :: atomic { acks?n ->
#ifdef BUG_ACK_AHEAD
        raise(done, n)
#else
        raise(done_waits, n); if :: done_waits > done -> done = done_waits; lower(done, received) :: else fi
#endif
        ; n = 0 }
    :: atomic { faults > 0 -> faults--;
        received = durable; done = done_durable; done_waits = 0; told = 0;
        lose_store_link_of_publisher(); lose_store_link_of_reader() }
    od
}

active proctype Reader() {
    byte n, scratch; mtype kind;
end:
    do
    :: atomic { !attached ->                        /* ATTACH_GROUP, GROUP_ATTACHED */
        attached = true;
#ifndef BUG_ACKS_ONCE
        acked = 0;
#endif
        if :: !is_live -> read_history() :: else fi }
    :: atomic { live?kind, n ->
        if
        :: kind == HEAD -> first_held = n; go_live_if_held()
        :: kind == BATCH ->
            if
#ifdef BUG_NO_GAP_CHECK
            :: n >= next && is_live -> given = given | bit(n); next = n + 1
#else
            :: n == next -> give(n); go_live_if_held()
#endif
            :: n > next && is_live && room(repairs, 1) -> repairs!next
            :: else
            fi
        :: kind == GONE ->
            if
            :: n >= next ->
#ifdef BUG_SKIP
                next = n + 1
#else
                first_held = n + 1; is_live = false; if :: !subscribed -> read_history() :: else fi
#endif
            :: else
            fi
        fi; n = 0; kind = 0 }
    :: atomic { history?n ->
        if :: n == next -> give(n) :: else fi;
        n = 0; go_live_if_held() }
    :: atomic { attached && next - 1 > acked && nfull(acks) -> acks!(next - 1); acked = next - 1 }
    :: atomic { faults > 0 -> faults--;
        lose_store_link_of_reader(); lose_live_link();
        next = done_durable + 1; acked = 0 }
    od
}

active proctype Network() {
    byte scratch; mtype kind;
end:
    do
    :: atomic { faults > 0 -> faults--;
        if
        :: lose_store_link_of_publisher()
        :: lose_store_link_of_reader()
        :: lose_live_link()
        fi }
    od
}

/* I5: where nothing can move any more, the group has done everything. */
active proctype Everything() { done_durable == MESSAGES }
