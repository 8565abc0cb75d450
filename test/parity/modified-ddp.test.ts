import { modifiedDdp } from '../../lib/networks/modified-ddp.js'
import { holdNetwork } from './hold-network.js'

holdNetwork(modifiedDdp, 'modified-ddp')
