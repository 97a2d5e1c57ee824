import type { Ledger } from '../ledger/ledger.ts'
import { createDocumentRoutes } from './documents.ts'
import { createRouter } from './edge.ts'
import type { ManagerDeps } from './manager.ts'
import { createMemberRoutes } from './members.ts'
import { createPauseRoutes } from './pauses.ts'
import { createStoreFileRoutes } from './store-file.ts'
import { createStoreRoutes } from './stores.ts'

/** The store managers' side, reports apart. */
export function createManagerRoutes(deps: ManagerDeps & { ledger: Ledger }) {
  const routes = createRouter()
  for (const each of [
    createStoreRoutes(deps),
    createDocumentRoutes(deps),
    createPauseRoutes(deps),
    createMemberRoutes(deps),
    createStoreFileRoutes(deps),
  ]) {
    routes.route('/', each)
  }
  return routes
}
