import { lin, type ToldOperations } from './told.ts'

const settings = {
  edition: 'standard',
  platform_auto_assign: false,
  assign_window_seconds: null,
}
const key = {
  id: '73b508bf9f9033e6',
  scope: 'assign',
  stores: [1001],
  name: 'till 1',
  created_at: '2026-11-23T02:00:00.000Z',
  expires_at: null,
  signed: false,
  last_used_at: null,
}
const hash = '6ddfabe25d04161cc176f03abc601c0d6c20658aefbfb3899caaa17de163d01d'

export const administrationOperations: ToldOperations = {
  'GET /settings': { zh: '商户设置', answers: { 200: { settings } } },
  'PUT /settings': {
    zh: '修改商户设置',
    body: { usual: settings },
    answers: { 200: { settings } },
  },
  'POST /keys': {
    zh: '生成 API 密钥',
    body: {
      till: { scope: 'assign', stores: [1001], name: 'till 1' },
      manager: {
        scope: 'manage',
        stores: [1001],
        name: 'manager 1001',
        expires_at: '2036-12-31T00:00:00+08:00',
      },
      signing_till: { scope: 'assign', stores: [1001], name: 'till 7', signed: true },
    },
    answers: { 201: { created: { ...key, key: 'spa_73b508bf9f9033e6_…' } } },
  },
  'GET /keys': {
    zh: '全部 API 密钥，不含密钥本身',
    answers: {
      200: { keys: { keys: [{ ...key, last_used_at: '2026-11-23T02:05:00.000Z' }] } },
    },
  },
  'DELETE /keys/{id}': { zh: '立即吊销一个 API 密钥', answers: { 204: {} } },
  'GET /audit': {
    zh: '谁改了什么：文档、门店、服务人员、暂停、归属、设置、密钥',
    query: 'limit=10',
    answers: {
      200: {
        records: {
          records: [
            {
              seq: 31,
              at: '2026-11-23T02:00:00.000Z',
              key_id: '4e5104b9b57eab7a',
              key_name: 'manager 1001',
              request_id: '10e9e121-0d2b-4228-a945-ef0c326ceb54',
              kind: 'pause',
              action: 'created',
              subject: lin.guide_id,
              store_id: 1001,
              before: null,
              after: { until: '2026-11-23T02:45:00.000Z', known: ['why'] },
              hash,
            },
          ],
          cursor: '31',
        },
      },
    },
  },
  'GET /audit/verify': {
    zh: '记录是否都是当初写下的，一条不少',
    answers: {
      200: {
        holds: { ok: true, checked: 32, first_bad: null, count: 32, hash },
        altered: { ok: false, checked: 11, first_bad: 12, count: 32, hash },
      },
    },
  },
}
