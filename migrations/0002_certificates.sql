CREATE TABLE `certificates` (
	`serial` text PRIMARY KEY NOT NULL,
	`pem` text NOT NULL,
	`effective_at_ms` integer NOT NULL,
	`expires_at_ms` integer NOT NULL
);
