import type { Bug } from './bugs.ts'

type Plants = Bug['plants']

/** Bugs that no test looks for in particular, and the model-based sequences find. */
export const modelBugs: readonly Bug[] = [
  bug('a restart forgets what was under way', 'src/assignment/outbox.ts', [
    ['await ledger.reclaim()', ''],
  ]),
  bug('a restart forgets that a call was under way', 'src/ledger/generations.ts', [
    ['if (interrupted) return true', 'if (interrupted) return false'],
  ]),
  bug('a reassignment keeps the turn of the guide before', 'src/ledger/ledger.ts', [
    [
      `giveBack(order)
        const before = update({ ...order, turn })`,
      `{ turn: order.turn, number: null }
        const before = update({ ...order, turn })`,
    ],
  ]),
  bug('a paid order is given to another guide', 'src/assignment/next-guide.ts', [
    [
      "if (order.paidAtMs !== null) throw new AppError('order_paid'",
      "if (nowMs < 0) throw new AppError('order_paid'",
    ],
  ]),
  bug(
    'an order is given to another guide while the first may be accepted',
    'src/assignment/next-guide.ts',
    [["if (status === 'pending' && mayYetTakeEffect(order)) throw inFlight(order)", '']],
  ),
  bug('what has expired is settled as assigned', 'src/ledger/ledger.ts', [
    [
      "for (const order of landed) end(order, 'expired', nowMs)",
      "for (const order of landed) end(order, 'assigned', nowMs)",
    ],
  ]),
  bug('a call goes out after the window', 'src/assignment/fly.ts', [
    ["if (leftMs() <= 0) return settle('expired')", ''],
    ["if (leftMs() <= 0) return 'over'", ''],
  ]),
  bug('other facts are no fault', 'src/assignment/assignments.ts', [
    ['refuseOtherFacts(order.facts, facts)\n', '\n'],
  ]),
  bug('a repeat is not said to be one', 'src/assignment/assignments.ts', [
    ['isReplay: joined !== undefined || !isNew,', 'isReplay: joined !== undefined,'],
  ]),
  bug('a turn is given back twice', 'src/ledger/ledger.ts', [
    ["order.turn === 'taken' && !passTurnOn(order)", 'order.turn !== null && !passTurnOn(order)'],
    ["if (order.status === 'rejected') return update(closed)", ''],
  ]),
  bug('the place in line is not given back with the turn', 'src/rules/logged.ts', [
    [
      'lastServed: now.lastServed === turn.number ? lastServed : now.lastServed',
      'lastServed: now.lastServed',
    ],
  ]),
  bug('the balance of who left is handed on to nobody', 'src/rules/decide.ts', [
    ['if (balance !== 0) gone.push({ id, balance })', ''],
  ]),
  bug('a cart takes a second turn', 'src/ledger/ledger.ts', [
    ['return borrow(lender, lent)', 'return { turn: books.takeAnew(storeId, lent) }'],
  ]),
  bug('a cart loses its turn with the order that held it', 'src/ledger/ledger.ts', [
    ["order.turn === 'taken' && !passTurnOn(order)", "order.turn === 'taken'"],
  ]),
  bug('a refused guide stays in the pool', 'src/assignment/next-guide.ts', [
    ['if (order.guideId !== null) mirror.quarantine(order.guideId)', ''],
  ]),
  bug('a refused change leaves the order with nobody', 'src/ledger/ledger.ts', [
    ['if (standing) return restore(order, standing, number, atMs)', ''],
  ]),
  bug('payment leaves the window open', 'src/ledger/ledger.ts', [
    [
      'const endsAtMs = Math.min(expiresAtMs, Math.max(Math.min(endedAtMs, nowMs), decidedAtMs))',
      'const endsAtMs = Math.max(expiresAtMs, Math.min(endedAtMs, nowMs, decidedAtMs))',
    ],
  ]),
  bug('a pause is not looked at', 'src/assignment/resolve.ts', [
    ['isPaused: guideId => store.isPaused(guideId, nowMs),', 'isPaused: () => false,'],
  ]),
  bug('a closed order counts against a cap', 'src/ledger/ledger.ts', [
    [
      `takeBack(order)
        const { turn, number } = giveBack(order)
        return update`,
      `const { turn, number } = giveBack(order)
        return update`,
    ],
  ]),
  bug('a test scan takes a turn', 'src/ledger/ledger.ts', [
    ['if (test) return { turn: turn && logTurn(turn, 0) }', ''],
  ]),
  bug('weights are not looked at', 'src/rules/decide.ts', [
    ['candidate(member, member.weight, book)', 'candidate(member, 1, book)'],
  ]),
  bug('a forged answer is believed', 'src/assignment/retry.ts', [
    [
      'return afterUnknown(outcome, tried, random)',
      "return outcome.reason === 'unverified' ? { kind: 'settle', status: 'assigned' } : afterUnknown(outcome, tried, random)",
    ],
  ]),
]

function bug(name: string, file: string, plants: Plants): Bug {
  const caughtBy = {
    file: 'test/model/sequences.test.ts',
    title: 'sequences of what may happen to a store',
  }
  return { name, file, plants, caughtBy }
}
