import { chen, lin, type ToldOperations } from './told.ts'

const fields = {
  store_id: 1001,
  corpid: 'ww1234567890abcdef',
  userid: 'lin.xiao',
  name: lin.name,
  mobile: '13800000001',
  qr_code: 'https://work.weixin.qq.com/ca/x',
  avatar: 'https://wework.qpic.cn/x',
}
const guide = {
  guide_id: lin.guide_id,
  store_id: 1001,
  state: 'registered',
  kind: 'wecom',
  userid: fields.userid,
  work_id: null,
  name: fields.name,
  mobile: fields.mobile,
  avatar: fields.avatar,
  qr_code: fields.qr_code,
  seen_at: '2026-11-23T02:00:00.000Z',
  erased_at: null,
}
const toManager = {
  guide_id: lin.guide_id,
  store_id: 1001,
  state: 'registered',
  kind: 'wecom',
  userid: null,
  work_id: null,
  name: lin.name,
  mobile: null,
  seen_at: guide.seen_at,
  erased_at: null,
}
const personal = {
  ...toManager,
  kind: 'personal',
  work_id: 'D1001-1',
  mobile: fields.mobile,
}
const sync = {
  started_at: '2026-11-23T02:00:00.000Z',
  ended_at: '2026-11-23T02:00:00.410Z',
  stores: 2,
  stores_done: 2,
  guides: 8,
  new: 1,
  changed: 0,
  restored: 0,
  missing: 0,
  gone: 0,
  findings: [{ store_id: 1001, guide_id: lin.guide_id, finding: 'new' }],
  failed: [],
}
const running = { ...sync, ended_at: null, stores_done: 1 }
const imported = {
  id: '3f0c9a52-7d1e-4c64-9a55-0f6f0a3b8a11',
  status: 'done',
  total: 2,
  waiting: 0,
  registered: 1,
  known: 0,
  refused: 1,
  rows: [
    { row: 2, status: 'registered', guide_id: lin.guide_id },
    {
      row: 3,
      status: 'refused',
      guide_id: null,
      errors: [
        {
          column: 'name',
          message: 'must have no emoji and no characters of 4 bytes',
        },
      ],
    },
  ],
}
const header = Object.keys(fields).join(',')
const csv = `${header}\n${Object.values(fields).join(',')}\n`

export const guideOperations: ToldOperations = {
  'GET /guides': {
    zh: '本地记录的服务人员',
    query: 'store_id=1001',
    answers: {
      200: {
        to_admin: { guides: [guide], cursor: null, synced_at: guide.seen_at },
        to_manager: { guides: [toManager], cursor: null, synced_at: guide.seen_at },
      },
    },
  },
  'GET /guides/{guide_id}': {
    zh: '查询一位服务人员',
    answers: { 200: { to_admin: guide, to_manager: toManager } },
  },
  'GET /guides/{guide_id}/missed': {
    zh: '当班期间哪些订单给了别人，为什么',
    query: 'date=2026-11-23',
    answers: {
      200: {
        missed: {
          ...lin,
          store_id: 1001,
          from: '2026-11-22T20:00:00.000Z',
          to: '2026-11-23T20:00:00.000Z',
          orders: 150,
          missed: 75,
          reasons: { LOWER_BALANCE: 75 },
          meanings: {
            LOWER_BALANCE: 'It was the turn of another, who was due more of their share.',
          },
          sample: [
            {
              out_trade_no: 'Y0002',
              decided_at: '2026-11-23T01:05:00.000Z',
              ...chen,
              why: 'LOWER_BALANCE',
            },
          ],
        },
      },
    },
  },
  'POST /guides': {
    zh: '在微信支付注册企业微信服务人员',
    body: { usual: fields },
    answers: { 200: { known: guide }, 201: { registered: guide } },
  },
  'POST /guides/import': {
    zh: '从文件批量注册企业微信服务人员',
    files: { 'text/csv': csv, 'application/x-ndjson': `${JSON.stringify(fields)}\n` },
    answers: {
      200: { done: imported },
      202: {
        running: {
          ...imported,
          status: 'running',
          waiting: 2,
          registered: 0,
          refused: 0,
          rows: [2, 3].map(row => ({ row, status: 'waiting', guide_id: null })),
        },
      },
    },
  },
  'GET /guides/imports/{id}': {
    zh: '导入进度，以及每一行的结果',
    answers: { 200: { done: imported } },
  },
  'POST /guides/sync': {
    zh: '与微信支付同步服务人员',
    answers: { 200: { done: sync }, 202: { running } },
  },
  'GET /guides/sync': {
    zh: '正在进行的同步，否则最近一次',
    answers: { 200: { done: { sync }, never: { sync: null } } },
  },
  'POST /guides/adopt': {
    zh: '接管个人微信服务人员',
    body: {
      usual: {
        store_id: 1001,
        text: `姓名：${lin.name}\n手机号：${fields.mobile}\n服务人员ID：${lin.guide_id}`,
      },
    },
    answers: { 200: { adopted: personal } },
  },
  'PATCH /guides/{guide_id}': {
    zh: '在微信支付修改服务人员资料',
    body: { usual: { mobile: '13800000009' } },
    answers: { 200: { changed: { ...guide, mobile: '13800000009' } } },
  },
  'DELETE /guides/{guide_id}/profile': {
    zh: '永久忘掉服务人员的姓名、手机号和链接',
    answers: { 204: {} },
  },
}
