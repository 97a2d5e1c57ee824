import { describe, expect, it } from 'vitest'
import { defaultPlan, planSchema } from '../../src/rules/plan.ts'
import { defaultRoster, rosterSchema } from '../../src/rules/roster.ts'
import { defaultStaff, staffSchema } from '../../src/rules/staff.ts'

const staff = { timezone: 'Asia/Shanghai', guides: [{ id: 'A' }] }
const early = { shift: '早班', days: ['mon'], from: '09:00', to: '15:00', guides: ['A'] }
const none = { use: 'none' }

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
    expect(staffSchema.safeParse(document).success).toBe(false)
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
  it('takes its own default, a night shift, a whole day and an empty week', () => {
    for (const document of [
      defaultRoster,
      { weekly: [{ ...early, from: '22:00', to: '06:00' }] },
      { weekly: [{ ...early, from: '00:00', to: '00:00', guides: ['*'] }] },
      { weekly: [{ ...early, from: '00:00', to: '23:59', guides: [] }] },
      { weekly: [] },
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
    ['__proto__', read('{"weekly":[],"__proto__":{}}')],
    ['constructor', read('{"weekly":[],"constructor":{}}')],
  ])('is refused with %s', (_, document) => {
    expect(rosterSchema.safeParse(document).success).toBe(false)
  })
})

describe('the plan document', () => {
  it('fills in what is not said', () => {
    const steps = [{ use: 'hint' }, { use: 'owner' }, { use: 'rotate' }, none]
    expect(planSchema.parse({ steps })).toEqual({
      fair_by: 'orders',
      steps: [
        { use: 'hint', if: 'on_shift' },
        { use: 'owner', if: 'on_shift' },
        { use: 'rotate', among: { on_shift: true } },
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
      'a rotation among those off shift',
      { steps: [{ use: 'rotate', among: { on_shift: false } }, none] },
    ],
    [
      'a rotation among an unknown set',
      { steps: [{ use: 'rotate', among: { on_shift: true, mood: 1 } }, none] },
    ],
    ['no step', { steps: [] }],
    ['no none', { steps: [{ use: 'owner' }] }],
    ['none before the end', { steps: [none, { use: 'owner' }] }],
    ['none twice', { steps: [none, none] }],
    ['51 steps', { steps: [...Array.from({ length: 50 }, () => ({ use: 'owner' })), none] }],
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
    expect(planSchema.safeParse(document).success).toBe(false)
  })
})
