import type { BookView, Question, Rules, Standing } from '../../src/rules/decide.ts'
import { gatherCrew, type KnownGuide } from '../../src/rules/eligibility.ts'
import { defaultPlan, type Plan } from '../../src/rules/plan.ts'
import { defaultRoster, type Roster } from '../../src/rules/roster.ts'
import type { Staff } from '../../src/rules/staff.ts'

/** Monday 23 November 2026, 00:00 in Shanghai. */
export const mondayMs = Date.UTC(2026, 10, 22, 16)
export const minuteMs = 60_000
export const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

type Guide = string | { id: string; weight?: number; rotates?: boolean }

export function aStaff(guides: readonly Guide[], timezone = 'Asia/Shanghai'): Staff {
  return {
    timezone,
    day_starts_at: '00:00',
    guides: guides.map(guide => ({
      weight: 1,
      rotates: true,
      ...(typeof guide === 'string' ? { id: guide } : guide),
    })),
  }
}

/** The rules of store 1: three guides, always on, the default plan. */
export function aStore({
  guides = ['A', 'B', 'C'],
  timezone = 'Asia/Shanghai',
  roster = defaultRoster,
  plan = defaultPlan,
  known = {},
}: {
  guides?: readonly Guide[]
  timezone?: string
  roster?: Roster
  plan?: Plan
  known?: Record<string, Partial<KnownGuide> | null>
} = {}): Rules {
  const staff = aStaff(guides, timezone)
  const mirrored = new Map<string, KnownGuide>()
  for (const { id } of staff.guides) {
    const told = known[id]
    if (told !== null) mirrored.set(id, { id, storeId: 1, state: 'registered', ...told })
  }
  return {
    crew: gatherCrew(1, staff, roster, mirrored),
    plan,
    versions: { staff: 0, roster: 0, plan: 0 },
  }
}

export function aBook(standings: Record<string, Standing> = {}): BookView {
  const kept = new Map(Object.entries(standings))
  return { name: 'orders', standing: id => kept.get(id) ?? { balance: 0, lastServed: 0 } }
}

export function aQuestion(facts: Partial<Question> = {}): Question {
  return {
    atMs: mondayMs,
    hint: null,
    owner: null,
    sticky: null,
    openBook: () => aBook(),
    ...facts,
  }
}

export function shift(
  days: Roster['weekly'][number]['days'],
  from: string,
  to: string,
  guides: string[],
): Roster['weekly'][number] {
  return { shift: `${from}-${to}`, days, from, to, guides }
}
