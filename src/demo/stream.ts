import { padEnd } from '../width.ts'
import type { Demo } from './demo.ts'
import { seedClosedStore } from './seed.ts'
import { closedStore, demoStores, regular } from './shop.ts'

type Assignment = { status: string; guide_id: string | null; reason: string }
type Posted = { store_id: number; member_id?: string; guide_id?: string; amount: number }
type Scene = { title: string; order: Posted; fault?: string }

const columns = { no: 7, store: 15, scene: 32, status: 12, guide: 7, reason: 17 }

/** Orders of every kind through the real service, what became of each, and how the turns were shared. */
export async function runStream(demo: Demo, print: (text: string) => void): Promise<void> {
  const { service, simulator, merchant } = demo
  await seedClosedStore(service.mirror, simulator, merchant, Date.now())
  const names = new Map(
    (await simulator.guides()).guides.map(({ guide_id, name }) => [guide_id, name]),
  )
  const stores = new Map([...demoStores, closedStore].map(({ storeId, name }) => [storeId, name]))
  const nameOf = (guideId: string | null) =>
    guideId === null ? '—' : (names.get(guideId) ?? guideId)

  print(
    `\nEach order is posted to ${demo.url}, decided, recorded, sent to the simulated WeChat Pay, then paid.\nCARD is whose card the payer's bill shows.\n\n`,
  )
  print(line('ORDER', 'STORE', 'WHAT', 'STATUS', 'GUIDE', 'REASON', 'TRIES', 'CARD'))
  const scenes = scenesOf(demo)
  for (const [index, { title, order, fault }] of scenes.entries()) {
    const no = `D${String(index + 1).padStart(4, '0')}`
    if (fault) await simulator.putFaults({ script: [{ on: 'assign', do: fault }] })
    const answer = await post(demo, no, order)
    const { attempt_count: tries } = await read(demo, no)
    const { card } = await simulator.pay(no)
    const bill = card ? card.name : '—'
    print(
      line(
        no,
        stores.get(order.store_id) ?? '',
        title,
        answer.status,
        nameOf(answer.guide_id),
        answer.reason,
        String(tries),
        bill,
      ),
    )
  }
  await shareOut(demo, print)
}

/** A rush of plain orders, and each guide's count beside the share that their weight asks for. */
async function shareOut(demo: Demo, print: (text: string) => void): Promise<void> {
  const rush = 120
  print(`\nA rush of ${rush} orders a store, 10 at once. Turns taken in rotation:\n\n`)
  for (const [place, store] of demoStores.entries()) {
    const counts = new Map<string, number>()
    for (let done = 0; done < rush; done += 10) {
      const batch = Array.from({ length: 10 }, (_, index) =>
        post(demo, `R${place}-${done + index}`, { store_id: store.storeId, amount: 9900 }),
      )
      for (const { guide_id } of await Promise.all(batch)) {
        if (guide_id !== null) counts.set(guide_id, (counts.get(guide_id) ?? 0) + 1)
      }
    }
    const total = store.guides.reduce((sum, { weight }) => sum + weight, 0)
    print(`  ${store.name}\n`)
    for (const [index, { guideId, name }] of demo.guides
      .filter(guide => guide.storeId === store.storeId)
      .entries()) {
      const weight = store.guides[index]?.weight ?? 1
      const count = counts.get(guideId) ?? 0
      print(
        `    ${padEnd(name, 8)} weight ${weight}  share ${((rush * weight) / total).toFixed(1).padStart(5)}  got ${String(count).padStart(3)}  ${'█'.repeat(Math.round(count / 2))}\n`,
      )
    }
  }
  print('\n')
}

function scenesOf({ guides }: Demo): Scene[] {
  const first = demoStores[0]?.storeId ?? 0
  const second = demoStores[1]?.storeId ?? 0
  const at = (store_id: number, more: Partial<Posted> = {}): Posted => ({
    store_id,
    amount: 12900,
    ...more,
  })
  const named = guides[2]?.guideId ?? ''
  return [
    { title: 'a customer with her own guide', order: at(first, { member_id: regular }) },
    { title: 'a guide named by the cashier', order: at(first, { guide_id: named }) },
    ...[1, 2, 3, 4, 5].map(() => ({ title: 'whose turn is it', order: at(first) })),
    ...[1, 2, 3, 4].map(() => ({ title: 'whose turn is it', order: at(second) })),
    { title: 'nobody on shift', order: at(closedStore.storeId) },
    { title: 'WeChat Pay fails once (500)', order: at(second), fault: 'status_500' },
    { title: 'a forged answer', order: at(second), fault: 'wrong_signature' },
    { title: 'a signature probe', order: at(second), fault: 'signtest' },
    { title: 'the answer is lost', order: at(second), fault: 'reset_after' },
    { title: 'WeChat Pay refuses the order', order: at(second), fault: 'param_error_order' },
  ]
}

async function post({ url, keys }: Demo, no: string, order: Posted): Promise<Assignment> {
  const answer = await fetch(`${url}/orders/${no}/assign`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${keys.assign}`,
      'content-type': 'application/json',
      prefer: 'wait=5',
    },
    body: JSON.stringify(order),
  })
  if (!answer.ok) throw new Error(`${no}: ${answer.status} ${await answer.text()}`)
  const assignment: Assignment = JSON.parse(await answer.text())
  return assignment
}

async function read({ url, keys }: Demo, no: string): Promise<{ attempt_count: number }> {
  const answer = await fetch(`${url}/orders/${no}`, {
    headers: { authorization: `Bearer ${keys.assign}` },
  })
  const order: { attempt_count: number } = JSON.parse(await answer.text())
  return order
}

function line(...cells: string[]): string {
  const widths = [...Object.values(columns), 7, 0]
  return `  ${cells.map((cell, index) => padEnd(cell, widths[index] ?? 0)).join('')}\n`
}
