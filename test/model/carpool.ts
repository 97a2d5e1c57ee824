/** A turn in the book: who could have taken it, what each gained or paid, and where each stood in line before. */
export type Turn = {
  number: number
  chosen: string
  units: number
  sharers: Sharer[]
  change: Map<string, number>
  servedBefore: Map<string, number>
}

export type Sharer = { id: string; weight: number }

const order = 720_720

/**
 * The carpool book as the paper has it, reckoned a second time and with nothing of the service's own: one order is worth
 * 720,720 units, divided among all who could serve, and paid by the one who does.
 */
export function openCarpool() {
  const balance = new Map<string, number>()
  const served = new Map<string, number>()
  let number = 0

  const standing = (id: string) => balance.get(id) ?? 0
  const lastServed = (id: string) => served.get(id) ?? 0
  const move = (id: string, by: number) => balance.set(id, standing(id) + by)

  function handOn(onStaff: ReadonlySet<string>, heirs: readonly Sharer[]): void {
    const left = [...balance].filter(([id, units]) => units !== 0 && !onStaff.has(id))
    if (left.length === 0 || heirs.length === 0) return
    const sum = left.reduce((all, [, units]) => all + units, 0)
    for (const [id] of left) balance.set(id, 0)
    for (const [id, part] of divide(Math.abs(sum), heirs)) move(id, Math.sign(sum) * part)
  }

  function changeOf(sharers: readonly Sharer[], chosen: string, units: number) {
    const change = divide(units, sharers)
    change.set(chosen, (change.get(chosen) ?? 0) - units)
    return change
  }

  function enter(sharers: readonly Sharer[], chosen: string, units: number): Turn {
    number += 1
    const change = changeOf(sharers, chosen, units)
    const servedBefore = new Map(sharers.map(({ id }) => [id, lastServed(id)]))
    for (const [id, by] of change) move(id, by)
    served.set(chosen, number)
    return { number, chosen, units, sharers: [...sharers], change, servedBefore }
  }

  return {
    page: () => ({
      turn: number,
      standings: new Map(
        [...new Set([...balance.keys(), ...served.keys()])].map(id => [
          id,
          [standing(id), lastServed(id)],
        ]),
      ),
    }),

    /** Whose turn it is once those who are not on the staff have handed their balances on; nothing is entered. */
    next(pool: readonly Sharer[], onStaff: ReadonlySet<string>, heirs: readonly Sharer[]): string {
      const before = new Map(balance)
      handOn(onStaff, heirs)
      const part = divide(order, pool)
      const due = (id: string) => standing(id) + (part.get(id) ?? 0)
      const line = pool
        .map(({ id }) => id)
        .sort((a, b) => due(b) - due(a) || lastServed(a) - lastServed(b) || (a < b ? -1 : 1))
      balance.clear()
      for (const [id, units] of before) balance.set(id, units)
      return line[0] ?? ''
    },

    take(
      pool: readonly Sharer[],
      chosen: string,
      onStaff: ReadonlySet<string>,
      heirs: readonly Sharer[],
    ): Turn {
      handOn(onStaff, heirs)
      return enter(pool, chosen, order)
    },

    takeAnew: ({ sharers, chosen, units }: Turn): Turn => enter(sharers, chosen, units),

    giveBack({ change, servedBefore, number: mine }: Turn): void {
      number += 1
      for (const [id, by] of change) move(id, -by)
      for (const [id, before] of servedBefore) if (lastServed(id) === mine) served.set(id, before)
    },
  }
}

export type Carpool = ReturnType<typeof openCarpool>

/** Whole units by weight; what is left over goes to the largest remainders, of equal ones to the smaller id. */
function divide(units: number, sharers: readonly Sharer[]): Map<string, number> {
  const total = sharers.reduce((all, { weight }) => all + weight, 0)
  const parts = sharers.map(({ id, weight }) => ({
    id,
    whole: Math.floor((units * weight) / total),
    rest: (units * weight) % total,
  }))
  let left = units - parts.reduce((all, { whole }) => all + whole, 0)
  const largestFirst = [...parts].sort((a, b) => b.rest - a.rest || (a.id < b.id ? -1 : 1))
  for (const part of largestFirst) {
    if (left === 0) break
    part.whole += 1
    left -= 1
  }
  return new Map(parts.map(({ id, whole }) => [id, whole]))
}
