// Made from app/server/messages.py by `python -m tests.web.generate_types`; a test holds the two together.

/** The queue in numbers. */
export interface ExecInfo {
  queue_remaining: number;
  paused: boolean;
}

/** What `status` holds. */
export interface QueueStatus {
  exec_info: ExecInfo;
}

/** How long the queue is; `sid` is the client's id, told on connection. */
export interface Status {
  status: QueueStatus;
  sid?: string;
}

/** A worker took the job. Times are in milliseconds since 1970. */
export interface ExecutionStart {
  prompt_id: string;
  timestamp: number;
}

/** The nodes of the prompt that have a stored result. */
export interface ExecutionCached {
  prompt_id: string;
  nodes: string[];
  timestamp: number;
}

/** A node begins; null when the run is over. */
export interface Executing {
  prompt_id: string;
  node: string | null;
  display_node?: string;
}

/** A node has done `value` of `max` units. */
export interface ProgressData {
  prompt_id: string;
  node: string;
  value: number;
  max: number;
}

/** A node in the table of all that have begun. */
export interface NodeProgress {
  value: number;
  max: number;
  state: "running" | "finished" | "pending" | "error";
  node_id: string;
  prompt_id: string;
  display_node_id: string;
  parent_node_id: string | null;
  real_node_id: string;
}

/** Every node that has begun, by id. */
export interface ProgressState {
  prompt_id: string;
  nodes: Record<string, NodeProgress>;
}

/** What a node shows; null where it comes from the cache and shows nothing new. */
export interface Executed {
  prompt_id: string;
  node: string;
  display_node: string;
  output: Record<string, any[]> | null;
}

/** The run is over and good. */
export interface ExecutionSuccess {
  prompt_id: string;
  timestamp: number;
}

/** Somebody stopped the run while this node ran. */
export interface ExecutionInterrupted {
  prompt_id: string;
  timestamp: number;
  node_id: string;
  node_type: string;
  executed: string[];
}

/** A node failed, or was not run because its input is blocked (then `exception_type` is ExecutionBlocked). `input_name` is the input that is to blame, null where none is known. */
export interface ExecutionError {
  prompt_id: string;
  timestamp?: number;
  node_id: string;
  node_type: string;
  executed: string[];
  exception_message: string;
  exception_type: string;
  traceback: string[];
  current_inputs: Record<string, any[]> | any[];
  current_outputs: string[];
  remedy?: string;
  input_name?: string | null;
}

/** The worker was lost; the run starts again by itself. */
export interface JobRequeued {
  prompt_id: string;
  reason: string;
  losses: number;
  timestamp: number;
}

/** What the server can do. */
export interface FeatureFlags {
  supports_preview_metadata: boolean;
  max_upload_size: number;
  node_replacements: boolean;
  assets: boolean;
  latent_loom: Record<string, boolean>;
}

/** A worker brought its node classes: ask for `GET /object_info` again. */
export interface NodesChanged {
  count: number;
}

/** A line of the log: its time as ISO 8601, and its text. */
export interface LogEntry {
  t: string;
  m: string;
}

/** New lines of the log, for who has subscribed to them. */
export interface LogLines {
  entries: LogEntry[];
  size: Record<string, number> | null;
}

/** The data of each message by its type. */
export interface Messages {
  status: Status;
  feature_flags: FeatureFlags;
  execution_start: ExecutionStart;
  execution_cached: ExecutionCached;
  executing: Executing;
  progress: ProgressData;
  progress_state: ProgressState;
  executed: Executed;
  execution_success: ExecutionSuccess;
  execution_interrupted: ExecutionInterrupted;
  execution_error: ExecutionError;
  job_requeued: JobRequeued;
  nodes_changed: NodesChanged;
  logs: LogLines;
}

/** What a client may say first: the features that it has, such as supports_preview_metadata. */
export interface Announcement {
  type: "feature_flags";
  data: Record<string, any>;
}

/** What is told beside a picture of a node's work. */
export interface PreviewMetadata {
  node_id: string;
  prompt_id: string;
  display_node_id: string;
  parent_node_id: string | null;
  real_node_id: string;
  image_type: "image/jpeg" | "image/png";
}

/** The inputs of a class by section and name: [type, options]; a list as type holds a combo's options. */
export interface NodeInputs {
  required: Record<string, any[]>;
  optional?: Record<string, any[]>;
  hidden?: Record<string, string>;
}

/** A node class as `GET /object_info` tells it. */
export interface NodeInfo {
  input: NodeInputs;
  input_order: Record<string, string[]>;
  is_input_list: boolean;
  output: (string | any[])[];
  output_is_list: boolean[];
  output_name: string[];
  output_tooltips: string[];
  name: string;
  display_name: string;
  description: string;
  python_module: string;
  category: string;
  output_node: boolean;
  deprecated: boolean;
  experimental: boolean;
  search_aliases: string[];
  essentials_category?: string;
}

/** What a refusal is about, as far as there is such: a node, its input, what it takes, what it was given. */
export interface ExtraInfo {
  node_id?: string;
  class_type?: string;
  node_title?: string;
  input_name?: string;
  input_config?: any[] | null;
  received_value?: any;
  received_type?: any;
  linked_node?: any[];
  exception_message?: string;
  exception_type?: string;
  traceback?: string[];
  remedy?: string;
}

/** Why a request was refused, and the way out. */
export interface Refusal {
  type: string;
  message: string;
  details: string;
  extra_info: ExtraInfo;
  remedy: string;
}

/** What is wrong with an input of a node. */
export interface Complaint {
  type: string;
  message: string;
  details: string;
  extra_info: ExtraInfo;
}

/** What is wrong with a node, and which outputs do not run because of it. */
export interface NodeErrors {
  errors: Complaint[];
  dependent_outputs: string[];
  class_type: string;
}

/** The body of every answer that says no. */
export interface ErrorBody {
  error: Refusal;
  node_errors: Record<string, NodeErrors>;
}
