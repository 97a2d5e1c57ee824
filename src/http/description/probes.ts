import type { ToldOperations } from './told.ts'

const ready = {
  status: 'ready',
  guides_synced_at: '2026-11-23T02:00:00.000Z',
  guides_age_seconds: 12,
}

/** What needs no key. */
export const probeOperations: ToldOperations = {
  'GET /livez': {
    zh: '进程是否活着；不依赖任何东西',
    answers: { 200: { live: { status: 'live' } } },
  },
  'GET /readyz': {
    zh: '是否接单，以及值得留意的事',
    answers: {
      200: {
        ready,
        warned: {
          ...ready,
          warnings: [
            {
              code: 'platform_auto_assign',
              message:
                '自动分配 is on at the merchant platform: orders are skipped until it is switched off there and in PUT /settings.',
              merchants: ['1900000109'],
            },
          ],
        },
      },
      503: { stopping: { status: 'not ready' }, full: { status: 'not ready', storage: 'full' } },
    },
  },
  'GET /metrics': {
    zh: '供 Prometheus 抓取的指标',
    answers: { 200: { text: '# TYPE smartguide_ready gauge\nsmartguide_ready 1\n' } },
  },
  'GET /openapi.json': {
    zh: '本接口的 OpenAPI 描述',
    answers: { 200: { document: { openapi: '3.1.0' } } },
  },
  'GET /docs': { zh: '本页', answers: { 200: { page: '<!doctype html>' } } },
}
