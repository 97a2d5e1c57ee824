import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { defaultPlan, planSchema } from '../../src/rules/plan.ts'
import { defaultRoster, rosterSchema } from '../../src/rules/roster.ts'
import { defaultStaff, staffSchema } from '../../src/rules/staff.ts'

const staff = { timezone: 'Asia/Shanghai', guides: [{ id: 'A' }] }
const early = { shift: '早班', days: ['mon'], from: '09:00', to: '15:00', guides: ['A'] }
const once = { shift: '加班', from: '09:00', to: '15:00', guides: ['A'] }
const closed = { date: '2026-10-01', mode: 'closed' }
const leave = { guide: 'A', from: '2026-10-03', to: '2026-10-03' }
const none = { use: 'none' }

type Issue = z.core.$ZodIssue

/** A sentence of ours, wherever it stands: those of a union's branches too. */
function ownSentences(issues: readonly Issue[]): Extract<Issue, { code: 'custom' }>[] {
  return issues.flatMap(issue => {
    if (issue.code === 'custom') return [issue]
    return issue.code === 'invalid_union' ? ownSentences(issue.errors.flat()) : []
  })
}

/** Refused, and what we say of it can be read in Chinese as well. */
function refuses(schema: z.ZodType, document: unknown): void {
  const { success, error } = schema.safeParse(document)
  expect(success).toBe(false)
  for (const { message, params } of ownSentences(error?.issues ?? [])) {
    expect(message).toMatch(/^[\x20-\x7e]{5,}$/)
    expect(params?.['zh']).toMatch(/[\u4e00-\u9fff]{2}/)
  }
}

/** As it comes over the wire, where `__proto__` is a key like any other. */
function read(text: string): unknown {
  return JSON.parse(text)
}

describe('the staff document', () => {
  it('fills in what is not said', () => {
    expect(staffSchema.parse(staff)).toEqual({
      timezone: 'Asia/Shanghai',
      day_starts_at: '00:00',
      guides: [{ id: 'A', weight: 1, rotates: true }],
    })
  })

  it('takes its own default', () => {
    const made = defaultStaff('Asia/Shanghai', ['A', 'B'])
    expect(staffSchema.parse(made)).toEqual(made)
  })

  it.each([
    ['an unknown field', { ...staff, note: '' }],
    ['an unknown field of a guide', { ...staff, guides: [{ id: 'A', name: 'x' }] }],
    [
      'the same guide twice',
      { ...staff, guides: [{ id: 'A' }, { id: 'B' }, { id: 'A', weight: 2 }] },
    ],
    ['no time zone', { guides: [] }],
    ['a time zone that does not exist', { ...staff, timezone: 'Asia/Bejing' }],
    ['an offset for a time zone', { ...staff, timezone: '+08:00' }],
    ['24:00 for the start of the day', { ...staff, day_starts_at: '24:00' }],
    ['weight 0', { ...staff, guides: [{ id: 'A', weight: 0 }] }],
    ['weight 101', { ...staff, guides: [{ id: 'A', weight: 101 }] }],
    ['half a weight', { ...staff, guides: [{ id: 'A', weight: 1.5 }] }],
    ['a cap of 0', { ...staff, guides: [{ id: 'A', caps: { per_day: 0 } }] }],
    ['half a cap', { ...staff, guides: [{ id: 'A', caps: { per_hour: 1.5 } }] }],
    ['a cap by the week', { ...staff, guides: [{ id: 'A', caps: { per_week: 9 } }] }],
    ['an empty tag', { ...staff, guides: [{ id: 'A', tags: [''] }] }],
    ['a tag that is not in a list', { ...staff, guides: [{ id: 'A', tags: '护肤' }] }],
    ['21 tags', { ...staff, guides: [{ id: 'A', tags: Array(21).fill('x') }] }],
    [
      '__proto__ of caps',
      read('{"timezone":"UTC","guides":[{"id":"A","caps":{"__proto__":{"per_day":1}}}]}'),
    ],
    ['a weight in words', { ...staff, guides: [{ id: 'A', weight: '2' }] }],
    ['an empty guide id', { ...staff, guides: [{ id: '' }] }],
    ['a guide id of 65 characters', { ...staff, guides: [{ id: 'x'.repeat(65) }] }],
    ['a guide id with a space', { ...staff, guides: [{ id: 'A B' }] }],
    ['a guide id with a line break', { ...staff, guides: [{ id: 'A\n' }] }],
    ['a guide id that is a path', { ...staff, guides: [{ id: '..' }] }],
    [
      '1001 guides',
      { ...staff, guides: Array.from({ length: 1001 }, (_, id) => ({ id: `G${id}` })) },
    ],
    ['an array', [staff]],
    ['null', null],
    ['__proto__', read('{"timezone":"UTC","guides":[],"__proto__":{"weight":9}}')],
    ['constructor', read('{"timezone":"UTC","guides":[],"constructor":1}')],
    [
      '__proto__ of a guide',
      read('{"timezone":"UTC","guides":[{"id":"A","__proto__":{"weight":9}}]}'),
    ],
  ])('is refused with %s', (_, document) => {
    refuses(staffSchema, document)
  })

  it('points at the guide that stands twice', () => {
    const { error } = staffSchema.safeParse({ ...staff, guides: [{ id: 'A' }, { id: 'A' }] })
    expect(error?.issues).toMatchObject([{ path: ['guides', 1, 'id'], message: 'stands twice' }])
  })

  it.each(['__proto__', 'constructor', '42', '*-1'])('takes a guide called %s for a guide', id => {
    expect(staffSchema.parse({ ...staff, guides: [{ id }] }).guides[0]?.id).toBe(id)
  })
})

describe('the roster document', () => {
  it('takes its own default, a night shift, a whole day, an empty week, overrides and leave', () => {
    for (const document of [
      defaultRoster,
      { weekly: [{ ...early, from: '22:00', to: '06:00' }] },
      { weekly: [{ ...early, from: '00:00', to: '00:00', guides: ['*'] }] },
      { weekly: [{ ...early, from: '00:00', to: '23:59', guides: [] }] },
      { weekly: [] },
      {
        weekly: [early],
        dates: [
          closed,
          { date: '2028-02-29', mode: 'replace', shifts: [] },
          { date: '2026-10-02', mode: 'add', shifts: [{ ...once, guides: ['*'] }] },
        ],
        away: [
          { ...leave, cover: 'B', why: '年假' },
          { guide: 'B', left: '2026-09-30', cover: 'A' },
        ],
      },
    ]) {
      expect(rosterSchema.parse(document)).toEqual(document)
    }
  })

  it.each([
    ['an unknown field', { weekly: [], monthly: [] }],
    ['an unknown field of a shift', { weekly: [{ ...early, note: '' }] }],
    ['nothing', {}],
    ['a shift without a name', { weekly: [{ ...early, shift: '' }] }],
    ['a shift without days', { weekly: [{ ...early, days: [] }] }],
    ['a day that does not exist', { weekly: [{ ...early, days: ['Mon'] }] }],
    ['24:00', { weekly: [{ ...early, to: '24:00' }] }],
    ['9:00', { weekly: [{ ...early, from: '9:00' }] }],
    ['09:60', { weekly: [{ ...early, from: '09:60' }] }],
    ['09:00:00', { weekly: [{ ...early, from: '09:00:00' }] }],
    ['a time and a line break', { weekly: [{ ...early, from: '09:00\n' }] }],
    ['full-width digits', { weekly: [{ ...early, from: '０９:００' }] }],
    ['a time in minutes', { weekly: [{ ...early, from: 540 }] }],
    ['a guide beside *', { weekly: [{ ...early, guides: ['*', 'A'] }] }],
    ['* beside a guide', { weekly: [{ ...early, guides: ['A', '*'] }] }],
    ['* twice', { weekly: [{ ...early, guides: ['*', '*'] }] }],
    ['a guide id that is a path', { weekly: [{ ...early, guides: ['.'] }] }],
    ['one guide that is not in a list', { weekly: [{ ...early, guides: 'A' }] }],
    ['1001 shifts', { weekly: Array.from({ length: 1001 }, () => early) }],
    ['an unknown field of an override', { weekly: [], dates: [{ ...closed, why: '' }] }],
    ['a day that does not exist', { weekly: [], dates: [{ ...closed, date: '2026-02-29' }] }],
    ['a day in another order', { weekly: [], dates: [{ ...closed, date: '01-10-2026' }] }],
    ['an instant for a day', { weekly: [], dates: [{ ...closed, date: '2026-10-01T00:00:00Z' }] }],
    ['an unknown mode', { weekly: [], dates: [{ ...closed, mode: 'half' }] }],
    ['a closed day with shifts', { weekly: [], dates: [{ ...closed, shifts: [] }] }],
    ['a replaced day without shifts', { weekly: [], dates: [{ ...closed, mode: 'replace' }] }],
    ['a day to add to without shifts', { weekly: [], dates: [{ ...closed, mode: 'add' }] }],
    [
      'a shift of one date that names its weekdays',
      { weekly: [], dates: [{ ...closed, mode: 'add', shifts: [early] }] },
    ],
    [
      'a guide beside * on a date',
      {
        weekly: [],
        dates: [{ ...closed, mode: 'add', shifts: [{ ...once, guides: ['*', 'A'] }] }],
      },
    ],
    ['an absence of nobody', { weekly: [], away: [{ from: '2026-10-03', to: '2026-10-03' }] }],
    ['an absence without days', { weekly: [], away: [{ guide: 'A' }] }],
    ['leave without its last day', { weekly: [], away: [{ guide: 'A', from: '2026-10-03' }] }],
    ['leave without its first day', { weekly: [], away: [{ guide: 'A', to: '2026-10-03' }] }],
    ['leave that ends before it begins', { weekly: [], away: [{ ...leave, to: '2026-10-02' }] }],
    ['leave of one who has left', { weekly: [], away: [{ ...leave, left: '2026-10-03' }] }],
    ['leave that its own guide covers', { weekly: [], away: [{ ...leave, cover: 'A' }] }],
    ['leave in hours', { weekly: [], away: [{ ...leave, from: '2026-10-03 09:00' }] }],
    ['an unknown field of leave', { weekly: [], away: [{ ...leave, hours: 8 }] }],
    ['a long story', { weekly: [], away: [{ ...leave, why: 'x'.repeat(201) }] }],
    [
      '__proto__ of leave',
      read('{"weekly":[],"away":[{"guide":"A","__proto__":{"left":"2026-10-01"}}]}'),
    ],
    ['__proto__', read('{"weekly":[],"__proto__":{}}')],
    ['constructor', read('{"weekly":[],"constructor":{}}')],
  ])('is refused with %s', (_, document) => {
    refuses(rosterSchema, document)
  })
})

describe('the plan document', () => {
  const step = (when: object) => ({ steps: [{ use: 'rotate', when }, none] })

  it('takes every step, condition and `when` that it knows', () => {
    const when = {
      channel: ['payment_code', 'app'],
      min_amount: 0,
      max_amount: 10_000_000_000,
      member_level: ['金'],
      between: ['18:00', '02:00'],
      days: ['sat', 'sun'],
    }
    const document = {
      fair_by: 'amount',
      steps: [
        { use: 'hint', if: 'always', counts: 'clamped', when },
        {
          use: 'owner',
          if: 'on_roster_today',
          max_age_days: 365,
          follow_cover: false,
          counts: 'full',
          when,
        },
        { use: 'rotate', by: 'listed', among: { on_shift: false, tag: '护肤' }, when },
        { use: 'rotate', by: 'random', among: { on_shift: true }, book: '大单' },
        { use: 'guide', id: 'G9', if: 'always', counts: 'none' },
        none,
      ],
    }
    expect(planSchema.parse(document)).toEqual(document)
  })

  it('fills in what is not said', () => {
    const steps = [{ use: 'hint' }, { use: 'owner' }, { use: 'rotate' }, none]
    expect(planSchema.parse({ steps })).toEqual({
      fair_by: 'orders',
      steps: [
        { use: 'hint', if: 'on_shift', counts: 'none' },
        { use: 'owner', if: 'on_shift', follow_cover: true, counts: 'none' },
        { use: 'rotate', by: 'fair', among: { on_shift: true } },
        none,
      ],
    })
  })

  it('takes its own default', () => {
    expect(planSchema.parse(defaultPlan)).toEqual(defaultPlan)
  })

  it.each([
    ['an unknown field', { steps: [none], note: '' }],
    ['an unknown field of a step', { steps: [{ use: 'owner', max_days: 1 }, none] }],
    ['an unknown field of none', { steps: [{ use: 'none', if: 'always' }] }],
    ['an unknown step', { steps: [{ use: 'script', code: '1' }, none] }],
    ['a step without a use', { steps: [{}, none] }],
    ['an unknown condition', { steps: [{ use: 'owner', if: 'sometimes' }, none] }],
    [
      'a rotation among an unknown set',
      { steps: [{ use: 'rotate', among: { on_shift: true, mood: 1 } }, none] },
    ],
    ['no step', { steps: [] }],
    ['no none', { steps: [{ use: 'owner' }] }],
    ['none before the end', { steps: [none, { use: 'owner' }] }],
    ['none twice', { steps: [none, none] }],
    ['51 steps', { steps: [...Array.from({ length: 50 }, () => ({ use: 'owner' })), none] }],
    ['an empty condition list', step({ channel: [] })],
    ['an unknown channel', step({ channel: ['carrier pigeon'] })],
    ['a minimum above the maximum', step({ min_amount: 2, max_amount: 1 })],
    ['an amount below zero', step({ min_amount: -1 })],
    ['half a fen', step({ max_amount: 0.5 })],
    ['an amount in words', step({ min_amount: '50000' })],
    ['a `between` of one end', step({ between: ['18:00'] })],
    ['a `between` of three', step({ between: ['18:00', '19:00', '20:00'] })],
    ['24:00 in a `between`', step({ between: ['18:00', '24:00'] })],
    ['no weekday', step({ days: [] })],
    ['an unknown condition of `when`', step({ weather: 'rain' })],
    [
      '__proto__ of `when`',
      read('{"steps":[{"use":"hint","when":{"__proto__":{}}},{"use":"none"}]}'),
    ],
    ['a `when` of none', { steps: [{ use: 'none', when: {} }] }],
    ['an unknown way to rotate', { steps: [{ use: 'rotate', by: 'mood' }, none] }],
    ['a book without a name', { steps: [{ use: 'rotate', book: '' }, none] }],
    ['an expression for a condition', { steps: [{ use: 'hint', if: 'amount > 5' }, none] }],
    ['an age of no days', { steps: [{ use: 'owner', max_age_days: 0 }, none] }],
    ['another way to count', { steps: [{ use: 'owner', counts: 'twice' }, none] }],
    ['a named step that names nobody', { steps: [{ use: 'guide' }, none] }],
    ['a named step that names a path', { steps: [{ use: 'guide', id: '..' }, none] }],
    ['another fairness', { fair_by: 'mood', steps: [none] }],
    ['steps that are no list', { steps: { 0: none, length: 1 } }],
    ['__proto__', read('{"steps":[{"use":"none"}],"__proto__":{}}')],
    ['__proto__ for a use', read('{"steps":[{"use":"__proto__"},{"use":"none"}]}')],
    ['constructor of a step', read('{"steps":[{"use":"none","constructor":1}]}')],
    [
      'a use that is only inherited',
      read('{"steps":[{"__proto__":{"use":"owner"}},{"use":"none"}]}'),
    ],
  ])('is refused with %s', (_, document) => {
    refuses(planSchema, document)
  })
})

describe('a refusal of ours', () => {
  it.each<[string, z.ZodType, object, (string | number)[], string]>([
    [
      'a wrong guide_id',
      staffSchema,
      { ...staff, guides: [{ id: 'A B' }] },
      ['guides', 0, 'id'],
      '服务人员ID',
    ],
    ['a path', staffSchema, { ...staff, guides: [{ id: '..' }] }, ['guides', 0, 'id'], '路径'],
    ['a wrong zone', staffSchema, { ...staff, timezone: 'Beijing' }, ['timezone'], '时区'],
    ['a wrong time', staffSchema, { ...staff, day_starts_at: '4:00' }, ['day_starts_at'], '时刻'],
    [
      'a guide twice',
      staffSchema,
      { ...staff, guides: [{ id: 'A' }, { id: 'A' }] },
      ['guides', 1, 'id'],
      '重复',
    ],
    [
      'a wrong day',
      rosterSchema,
      { weekly: [], dates: [{ ...closed, date: '2026-02-30' }] },
      ['dates', 0, 'date'],
      '日期',
    ],
    [
      'shifts of a closed day',
      rosterSchema,
      { weekly: [], dates: [{ ...closed, shifts: [] }] },
      ['dates', 0, 'shifts'],
      '休业日',
    ],
    [
      'no shifts of an open one',
      rosterSchema,
      { weekly: [], dates: [{ ...closed, mode: 'add' }] },
      ['dates', 0, 'shifts'],
      '班次',
    ],
    [
      'leave without days',
      rosterSchema,
      { weekly: [], away: [{ guide: 'A' }] },
      ['away', 0, 'from'],
      '须填',
    ],
    [
      'leave backwards',
      rosterSchema,
      { weekly: [], away: [{ ...leave, to: '2026-10-01' }] },
      ['away', 0, 'to'],
      '早于',
    ],
    [
      'cover by oneself',
      rosterSchema,
      { weekly: [], away: [{ ...leave, cover: 'A' }] },
      ['away', 0, 'cover'],
      '另一位',
    ],
    [
      'amounts crossed',
      planSchema,
      { steps: [{ use: 'hint', when: { min_amount: 2, max_amount: 1 } }, none] },
      ['steps', 0, 'when'],
      '大于',
    ],
    ['no none', planSchema, { steps: [{ use: 'hint' }] }, ['steps'], '最后一步'],
  ])('says where and, in Chinese too, what: %s', (_, schema, document, path, words) => {
    const found = schema.safeParse(document).error?.issues ?? []
    const [issue] = ownSentences(found)
    expect(issue?.path).toEqual(path)
    expect(issue?.params?.['zh']).toContain(words)
  })

  it('says so of a guide beside * inside the union', () => {
    const { error } = rosterSchema.safeParse({ weekly: [{ ...early, guides: ['A', '*'] }] })
    const [issue] = ownSentences(error?.issues ?? [])
    expect(issue?.params?.['zh']).toContain('单独')
  })
})
