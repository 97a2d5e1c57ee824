/** A bug that somebody could make, and the test that must not let it pass. */
export type Bug = {
  name: string
  file: string
  /** Exact source text, there once, and what stands in its place. */
  plants: readonly (readonly [replace: string, by: string])[]
  /** `title` is the test's own, or a part of it. */
  caughtBy: { file: string; title: string }
}

export const bugs: readonly Bug[] = [
  {
    name: 'NORMAL',
    file: 'src/db/open.ts',
    plants: [
      ["client.pragma('synchronous = FULL')", "client.pragma('synchronous = NORMAL')"],
      ["if (set.join() !== 'wal,2,1,0') {", "if (set.join() !== 'wal,1,1,0') {"],
    ],
    caughtBy: { file: 'test/db/open.test.ts', title: 'syncs each commit' },
  },
  {
    name: 'naive compare',
    file: 'src/access/compare.ts',
    plants: [['timingSafeEqual(given, kept)', 'given.equals(kept)']],
    caughtBy: {
      file: 'test/access/constant-time.test.ts',
      title: 'a key is compared whole and in constant time',
    },
  },
  {
    name: 'send before commit',
    file: 'src/assignment/assignments.ts',
    plants: [
      [
        'deps.client.presign?.({ guideId, outTradeNo, subMchid })',
        'deps.client.assign({ guideId, outTradeNo, subMchid, host: 0, timeoutMs: 1000 })',
      ],
    ],
    caughtBy: {
      file: 'test/model/sequences.test.ts',
      title: 'sequences of what may happen to a store',
    },
  },
  {
    name: 'no fingerprint',
    file: 'src/assignment/facts.ts',
    plants: [['if (one === other) return []', 'if (one !== null) return []']],
    caughtBy: {
      file: 'test/assignment/main-job.test.ts',
      title: 'is refused with 422, the name of the field and no value',
    },
  },
  {
    name: 'retry that decides anew',
    file: 'src/assignment/retry.ts',
    plants: [['return afterUnknown(outcome, tried, random)', "return { kind: 'next_guide' }"]],
    caughtBy: {
      file: 'test/assignment/main-job.test.ts',
      title: 'is not taken for assigned; the repeat, with the same guide, is',
    },
  },
  {
    name: 'missing verification',
    file: 'src/wechatpay/verify.ts',
    plants: [
      [
        "return isSignature(signed, key, signature) ? verified : refused('the signature is wrong')",
        'return verified',
      ],
    ],
    caughtBy: {
      file: 'test/assignment/main-job.test.ts',
      title: 'stays pending while every answer is forged',
    },
  },
  {
    name: 'no budget',
    file: 'src/assignment/outbound.ts',
    plants: [
      [
        'if (isRepeat && !budget.spend(nowMs)) return later(noBudgetPauseMs)',
        'if (isRepeat) budget.spend(nowMs)',
      ],
    ],
    caughtBy: { file: 'test/assignment/outbound.test.ts', title: 'makes no storm of repeats' },
  },
  {
    name: 'pointer advanced twice',
    file: 'src/ledger/ledger.ts',
    plants: [
      [
        'if (turn) return { turn: books.take(storeId, turn) }',
        `if (turn) {
      books.take(storeId, turn)
      return { turn: books.take(storeId, turn) }
    }`,
      ],
    ],
    caughtBy: {
      file: 'test/ledger/books.test.ts',
      title: 'sum to zero and follow from the orders alone',
    },
  },
  {
    name: 'UTC day',
    file: 'src/rules/calendar.ts',
    plants: [['const wallMs = atMs + offsetAt(atMs)', 'const wallMs = atMs']],
    caughtBy: {
      file: 'test/rules/known-failures.test.ts',
      title: 'the day flips at 08:00 in Beijing',
    },
  },
  {
    name: 'cap outside the transaction',
    file: 'src/ledger/ledger.ts',
    plants: [
      [
        'if (!order.test) tallies.add(row, 1)',
        'if (!order.test) setImmediate(() => tallies.add(row, 1))',
      ],
    ],
    caughtBy: {
      file: 'test/ledger/tallies.test.ts',
      title: 'is never passed by 64 orders of the same tick',
    },
  },
  {
    name: 'refund twice',
    file: 'src/ledger/ledger.ts',
    plants: [
      [
        "const turn = order.turn === 'taken' && !passTurnOn(order) ? turnOf(order) : null",
        'const turn = order.turn !== null && !passTurnOn(order) ? turnOf(order) : null',
      ],
      ["if (order.status === 'rejected') return update(closed)", ''],
    ],
    caughtBy: { file: 'test/ledger/ledger.test.ts', title: 'gives the turn back once' },
  },
  {
    name: 'unbounded WAL',
    file: 'src/db/open.ts',
    plants: [
      [
        "client.exec('BEGIN')",
        `client.exec('BEGIN')
    const forgotten = new Database(client.name, { readonly: true })
    forgotten.exec('BEGIN; SELECT 1 FROM sqlite_master')
    held.add(forgotten)`,
      ],
    ],
    caughtBy: { file: 'test/ledger/history-log.test.ts', title: 'does not grow' },
  },
]
