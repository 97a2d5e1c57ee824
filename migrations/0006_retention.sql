CREATE TABLE `purged` (
	`store_id` integer PRIMARY KEY NOT NULL,
	`remains` text NOT NULL
);
