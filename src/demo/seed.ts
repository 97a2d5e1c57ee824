import type { Mirror } from '../mirror/mirror.ts'
import { closedStore, demoPlan, demoStores, regular, timezone } from './shop.ts'
import type { SimulatorControl } from './simulator-control.ts'

export type SeededGuide = { guideId: string; name: string; storeId: number }

/** Opens the demo's stores at the simulator and in the mirror; what is there from an earlier start stays. */
export async function seed(
  mirror: Mirror,
  simulator: SimulatorControl,
  merchant: string,
  atMs: number,
): Promise<SeededGuide[]> {
  await simulator.putCard('服务顾问')
  const seeded: SeededGuide[] = []
  for (const { storeId, name, guides, roster } of demoStores) {
    await simulator.putStore(storeId, name)
    const registered = await registerGuides(simulator, storeId, guides)
    mirror.putStore({ storeId, merchant, name, timezone })
    for (const guide of registered) {
      mirror.putGuide({ id: guide.guideId, storeId, state: 'registered' })
      seeded.push({ ...guide, storeId })
    }
    if (mirror.versions(storeId, 'plan').length > 0) continue
    // They were in force yesterday already: the day's orders of the demo were decided by them.
    const written = { author: 'demo', atMs, effectiveAtMs: atMs - 2 * 86_400_000 }
    const staff = registered.map(({ guideId }, index) => ({
      id: guideId,
      weight: guides[index]?.weight ?? 1,
      rotates: true,
    }))
    mirror.putDocument(
      storeId,
      'staff',
      { timezone, day_starts_at: '04:00', guides: staff },
      written,
    )
    mirror.putDocument(storeId, 'roster', roster(registered.map(({ guideId }) => guideId)), written)
    mirror.putDocument(storeId, 'plan', demoPlan, written)
  }
  const owner = seeded[1]
  if (owner)
    mirror.setOwner({
      merchant,
      memberId: regular,
      guideId: owner.guideId,
      sinceMs: atMs - 30 * 86_400_000,
      expiresAtMs: null,
    })
  return seeded
}

/** A third store with one guide and an empty roster: nobody is on shift there. */
export async function seedClosedStore(
  mirror: Mirror,
  simulator: SimulatorControl,
  merchant: string,
  atMs: number,
): Promise<void> {
  const { storeId, name } = closedStore
  await simulator.putStore(storeId, name)
  const [guide] = await registerGuides(simulator, storeId, [
    { name: '梁夏', mobile: '13900001009' },
  ])
  mirror.putStore({ storeId, merchant, name, timezone })
  if (guide) mirror.putGuide({ id: guide.guideId, storeId, state: 'registered' })
  mirror.putDocument(storeId, 'roster', { weekly: [] }, { author: 'demo', atMs })
}

async function registerGuides(
  simulator: SimulatorControl,
  storeId: number,
  guides: readonly { name: string; mobile: string }[],
): Promise<{ guideId: string; name: string }[]> {
  const known = (await simulator.guides()).guides.filter(guide => guide.store_id === storeId)
  const registered: { guideId: string; name: string }[] = []
  for (const [index, { name, mobile }] of guides.entries()) {
    const before = known.find(guide => guide.name === name)
    const { guide_id } =
      before ??
      (await simulator.approveGuide({
        store_id: storeId,
        name,
        mobile,
        work_id: `D${storeId}-${index + 1}`,
      }))
    registered.push({ guideId: guide_id, name })
  }
  return registered
}
