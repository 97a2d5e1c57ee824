import { explanation } from './orders.ts'
import { chen, lin, type ToldOperations } from './told.ts'

const store = { store_id: 1001, name: '人民广场旗舰店', timezone: 'Asia/Shanghai' }
const meta = {
  author: 'manager 1001',
  written_at: '2026-11-23T01:30:00.000Z',
  effective_at: '2026-11-23T01:30:00.000Z',
}
const owner = {
  member_id: 'member-wang',
  guide_id: lin.guide_id,
  since: '2026-11-23T02:00:00.000Z',
  expires_at: null,
}
const pause = { until: '2026-11-23T02:45:00.000Z', why: '午休' }
const balance = (units: number, orders: number) => [{ book: 'orders', units, orders }]

const documents = {
  staff: {
    timezone: 'Asia/Shanghai',
    day_starts_at: '04:00',
    guides: [{ id: lin.guide_id, weight: 2, rotates: true, caps: { per_day: 60 } }],
  },
  roster: {
    weekly: [
      {
        shift: '白班',
        days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'],
        from: '09:00',
        to: '22:00',
        guides: ['*'],
      },
    ],
    dates: [{ date: '2027-01-01', mode: 'closed' }],
    away: [{ guide: lin.guide_id, from: '2026-12-01', to: '2026-12-03', why: '年假' }],
  },
  plan: {
    fair_by: 'orders',
    steps: [
      { use: 'owner', if: 'on_shift', follow_cover: true, counts: 'none' },
      { use: 'rotate', by: 'fair', among: { on_shift: true } },
      { use: 'none' },
    ],
  },
}

const changes = {
  staff: [{ pointer: '/guides/0/weight', before: 1, after: 2 }],
  roster: [{ pointer: '/weekly/0/to', before: '21:00', after: '22:00' }],
  plan: [{ pointer: '/steps/0/follow_cover', before: false, after: true }],
}

const warning = {
  code: 'COVERAGE_HOLE',
  pointer: '/roster/weekly',
  message: 'Nobody is on shift from 2026-11-29 00:00 to 2026-11-30 00:00.',
  witness: '2026-11-28T16:00:00.000Z',
  until: '2026-11-29T16:00:00.000Z',
}

function documentOperations(kind: keyof typeof documents, zh: string): ToldOperations {
  const path = `/stores/{store_id}/${kind}`
  const document = documents[kind]
  const published = { kind, effective_at: meta.effective_at, document, warnings: [] }
  return {
    [`GET ${path}`]: {
      zh: `最新的${zh}，或某一时刻生效的${zh}`,
      answers: { 200: { document } },
    },
    [`PUT ${path}`]: {
      zh: `发布${zh}的新版本`,
      body: { usual: document },
      ifMatch: '"1"',
      answers: {
        200: {
          published: { ...published, version: 2 },
          dry_run: { ...published, warnings: [warning], version: null },
        },
      },
    },
    [`GET ${path}/versions`]: {
      zh: `${zh}的历次版本，新的在前`,
      answers: {
        200: {
          versions: {
            versions: [
              { version: 1, ...meta },
              { version: 0, author: null, written_at: null, effective_at: null },
            ],
          },
        },
      },
    },
    [`GET ${path}/versions/{version}`]: {
      zh: `${zh}的某个版本`,
      answers: { 200: { version: { kind, version: 1, ...meta, document } } },
    },
    [`POST ${path}/versions/{version}/restore`]: {
      zh: `把旧版${zh}作为新版本再次发布`,
      ifMatch: '"2"',
      answers: { 200: { published: { ...published, version: 3 } } },
    },
    [`GET ${path}/versions/{version}/diff/{other}`]: {
      zh: `${zh}两个版本之间的差异`,
      answers: { 200: { diff: { kind, from: 1, to: 0, changes: changes[kind] } } },
    },
  }
}

/** The managers' side, guides apart. */
export const storeOperations: ToldOperations = {
  'GET /stores': { zh: '此密钥可用的门店', answers: { 200: { stores: { stores: [store] } } } },
  ...documentOperations('staff', '员工表'),
  ...documentOperations('roster', '排班表'),
  ...documentOperations('plan', '分配方案'),
  'GET /stores/{store_id}/lint': {
    zh: '最新文档里值得留意之处：无人时段、走不到的步骤、未知人员',
    query: 'days=14',
    answers: {
      200: { found: { from: '2026-11-23T02:00:00.000Z', days: 14, warnings: [warning] } },
    },
  },
  'GET /stores/{store_id}/on-duty': {
    zh: '谁可以接单，其他人为何不能',
    answers: {
      200: {
        now: {
          at: '2026-11-23T02:00:00.000Z',
          guides: [
            { ...lin, on_duty: true, reason: null, pause: null },
            { ...chen, on_duty: false, reason: 'PAUSED', pause },
          ],
        },
      },
    },
  },
  'POST /stores/{store_id}/simulate': {
    zh: '假如来了这些订单会怎么分；不写入任何内容',
    body: {
      usual: { orders: [{ member_id: 'member-li' }, {}] },
      draft: { orders: [{}], draft: { plan: documents.plan } },
    },
    answers: {
      200: {
        simulated: {
          at: '2026-11-23T02:00:00.000Z',
          orders: [
            {
              out_trade_no: 'simulated-1',
              status: 'pending',
              ...lin,
              reason: 'FAIR_TURN',
              explanation,
            },
          ],
        },
      },
    },
  },
  'POST /stores/{store_id}/replay': {
    zh: '过去一段时间若用这份草稿会怎样',
    body: {
      usual: {
        from: '2026-11-22T00:00:00+08:00',
        to: '2026-11-23T00:00:00+08:00',
        draft: { plan: { steps: [{ use: 'rotate' }, { use: 'none' }] } },
      },
    },
    answers: {
      200: {
        compared: {
          orders: 150,
          changed: 12,
          uncovered_before: 0,
          uncovered_after: 0,
          guides: [
            { ...lin, count_before: 81, count_after: 75, share_after: 75 },
            { ...chen, count_before: 69, count_after: 75, share_after: 75 },
          ],
          worst_deviation: 0.5,
          sample: [
            {
              out_trade_no: 'Y0005',
              decided_at: '2026-11-22T01:20:00.000Z',
              before: { ...lin, reason: 'OWNER' },
              after: { ...chen, reason: 'FAIR_TURN' },
            },
          ],
        },
      },
    },
  },
  'GET /stores/{store_id}/fairness': {
    zh: '每位服务人员的轮次、应得份额和余额',
    answers: {
      200: {
        report: {
          from: '2026-10-24T02:00:00.000Z',
          to: '2026-11-23T02:00:00.000Z',
          orders: 150,
          turns: 149,
          guides: [
            {
              ...lin,
              orders: 76,
              count: 75,
              share: 74.5,
              deviation: 0.5,
              balances: balance(-360360, -0.5),
            },
            {
              ...chen,
              orders: 74,
              count: 74,
              share: 74.5,
              deviation: -0.5,
              balances: balance(360360, 0.5),
            },
          ],
        },
      },
    },
  },
  'POST /stores/{store_id}/fairness/verify': {
    zh: '用订单记录重算轮次账本',
    body: { usual: { from: '2026-11-22T00:00:00+08:00', to: '2026-11-23T00:00:00+08:00' } },
    answers: {
      200: {
        holds: { ok: true, checked: 150, faults: [] },
        fault: {
          ok: false,
          checked: 149,
          faults: [{ out_trade_no: 'Y0042', what: 'The turn of this order is not what was held.' }],
        },
      },
    },
  },
  'PUT /stores/{store_id}/guides/{guide_id}/pause': {
    zh: '服务人员休息一会儿，到时自动恢复',
    body: { usual: { minutes: 45, why: '午休' } },
    answers: {
      200: { paused: { guide_id: lin.guide_id, ...pause, author: 'manager 1001' } },
    },
  },
  'DELETE /stores/{store_id}/guides/{guide_id}/pause': {
    zh: '服务人员提前回来',
    answers: { 204: {} },
  },
  'GET /stores/{store_id}/export': {
    zh: '把门店的最新文档导出为一份 JSON',
    answers: {
      200: {
        file: {
          format: 'smartguide-store/1',
          exported_at: '2026-11-23T02:00:00.000Z',
          store,
          ...documents,
          pauses: [{ guide_id: chen.guide_id, ...pause }],
        },
      },
    },
  },
  'POST /stores/{store_id}/import': {
    zh: '发布这样一份文件里有变化的文档，要么全部，要么都不',
    query: 'dry_run=true',
    body: { usual: { format: 'smartguide-store/1', ...documents } },
    answers: {
      200: {
        rehearsed: {
          dry_run: true,
          changed: ['roster'],
          versions: { staff: 1, roster: 1, plan: 1 },
          warnings: [warning],
        },
      },
    },
  },
  'PUT /members/{member_id}/owner': {
    zh: '给会员指定专属服务人员',
    body: { usual: { guide_id: lin.guide_id } },
    answers: { 200: { owner } },
  },
  'GET /members/{member_id}/owner': {
    zh: '会员归谁服务',
    answers: { 200: { owner } },
  },
  'DELETE /members/{member_id}/owner': {
    zh: '会员不再有专属服务人员',
    answers: { 204: {} },
  },
  'POST /members/owners/import': {
    zh: '从文件导入会员归属，要么全部，要么都不',
    files: {
      'text/csv': `member_id,guide_id,since\nmember-li,${lin.guide_id},2026-11-01T00:00:00+08:00\n`,
      'application/x-ndjson': `{"member_id": "member-li", "guide_id": "${lin.guide_id}"}\n`,
    },
    answers: {
      200: { imported: { rows: 1, created: 1, changed: 0, unchanged: 0, dry_run: false } },
    },
  },
  'PUT /stores/{store_id}': {
    zh: '登记门店，或修改其名称、时区',
    body: { usual: { name: store.name, timezone: store.timezone } },
    answers: { 200: { changed: store }, 201: { made: store } },
  },
}
