-- A database of scitq 1.3.8, made by its server and dumped; without tables that are not read.
BEGIN TRANSACTION;
CREATE TABLE execution (
	execution_id INTEGER NOT NULL, 
	worker_id INTEGER, 
	task_id INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	creation_date DATETIME NOT NULL, 
	modification_date DATETIME, 
	output TEXT, 
	error TEXT, 
	return_code INTEGER, 
	pid VARCHAR, 
	output_files VARCHAR, 
	command VARCHAR, 
	container VARCHAR, 
	container_options VARCHAR, 
	input VARCHAR, 
	output_folder VARCHAR, 
	resource VARCHAR, 
	input_hash VARCHAR, 
	output_hash VARCHAR, 
	latest BOOLEAN, 
	PRIMARY KEY (execution_id), 
	FOREIGN KEY(worker_id) REFERENCES worker (worker_id), 
	FOREIGN KEY(task_id) REFERENCES task (task_id)
);
INSERT INTO "execution" VALUES(1,1,2,'succeeded','2026-11-25 10:50:27.365940','2026-11-25 10:50:27.731322','é good
',NULL,0,'5','x.txt y/z.txt',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "execution" VALUES(2,1,3,'failed','2026-11-25 10:50:32.453676','2026-11-25 10:50:33.642333',NULL,'no
',1,'5',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "execution" VALUES(3,1,3,'failed','2026-11-25 10:50:37.514679','2026-11-25 10:50:38.495118',NULL,'killed
',-9,'5',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1);
INSERT INTO "execution" VALUES(4,1,4,'running','2026-11-25 10:50:42.604662','2026-11-25 10:50:43.236469','so far
',NULL,NULL,'5',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1);
CREATE TABLE recruiter (
	batch VARCHAR NOT NULL, 
	rank INTEGER NOT NULL, 
	tasks_per_worker INTEGER NOT NULL, 
	worker_flavor VARCHAR NOT NULL, 
	worker_region VARCHAR, 
	worker_provider VARCHAR, 
	worker_concurrency INTEGER NOT NULL, 
	worker_prefetch INTEGER NOT NULL, 
	minimum_tasks INTEGER, 
	maximum_workers INTEGER, 
	PRIMARY KEY (batch, rank)
);
INSERT INTO "recruiter" VALUES('genomes',1,2,'auto:cpu>4',NULL,NULL,4,0,NULL,NULL);
CREATE TABLE requirement (
	requirement_id INTEGER NOT NULL, 
	task_id INTEGER NOT NULL, 
	other_task_id INTEGER NOT NULL, 
	PRIMARY KEY (requirement_id), 
	FOREIGN KEY(task_id) REFERENCES task (task_id), 
	FOREIGN KEY(other_task_id) REFERENCES task (task_id)
);
INSERT INTO "requirement" VALUES(1,5,2);
INSERT INTO "requirement" VALUES(2,5,4);
CREATE TABLE task (
	task_id INTEGER NOT NULL, 
	name VARCHAR, 
	command VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	creation_date DATETIME NOT NULL, 
	modification_date DATETIME, 
	batch VARCHAR NOT NULL, 
	input VARCHAR, 
	output VARCHAR, 
	container VARCHAR, 
	container_options VARCHAR, 
	resource VARCHAR, 
	retry INTEGER NOT NULL, 
	status_date DATETIME, 
	download_timeout INTEGER, 
	run_timeout INTEGER, 
	use_cache BOOLEAN, 
	PRIMARY KEY (task_id)
);
INSERT INTO "task" VALUES(2,'good','sh -c "echo good"','succeeded','2026-11-25 10:50:27.309362','2026-11-25 10:50:27.731285','genomes','file:///data/a.fq file:///data/b.fq','file:///results/good',NULL,'',NULL,2,'2026-11-25 10:50:27.731285',NULL,600,0);
INSERT INTO "task" VALUES(3,'bad','false','failed','2026-11-25 10:50:27.796947','2026-11-25 10:50:38.495086','genomes',NULL,NULL,NULL,'',NULL,0,'2026-11-25 10:50:38.495086',NULL,NULL,0);
INSERT INTO "task" VALUES(4,'runs','sleep 1000','running','2026-11-25 10:50:38.589347','2026-11-25 10:50:43.236438','genomes',NULL,NULL,NULL,'',NULL,0,'2026-11-25 10:50:43.236438',NULL,NULL,0);
INSERT INTO "task" VALUES(5,'waits','cat','waiting','2026-11-25 10:50:43.340938','2026-11-25 10:50:43.340938','later',NULL,NULL,'alpine','-w /tmp',NULL,0,'2026-11-25 10:50:43.340938',NULL,NULL,0);
INSERT INTO "task" VALUES(6,'held','true','paused','2026-11-25 10:50:43.494395','2026-11-25 10:50:43.494395','later',NULL,NULL,NULL,'',NULL,0,'2026-11-25 10:50:43.494395',NULL,NULL,0);
INSERT INTO "task" VALUES(7,'far','true','pending','2026-11-25 10:50:43.557393','2026-11-25 10:50:43.557393','later','ftp://example/x|nonsense',NULL,NULL,'',NULL,0,'2026-11-25 10:50:43.557393',NULL,NULL,0);
CREATE TABLE worker (
	worker_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	hostname VARCHAR, 
	status VARCHAR NOT NULL, 
	concurrency INTEGER NOT NULL, 
	prefetch INTEGER, 
	load VARCHAR, 
	memory VARCHAR, 
	stats VARCHAR, 
	task_properties VARCHAR, 
	creation_date DATETIME, 
	modification_date DATETIME, 
	last_contact_date DATETIME, 
	batch VARCHAR NOT NULL, 
	permanent BOOLEAN, 
	flavor VARCHAR, 
	region VARCHAR, 
	provider VARCHAR, 
	ipv4 VARCHAR, 
	ipv6 VARCHAR, 
	ansible_host VARCHAR, 
	ansible_group VARCHAR, 
	ansible_active BOOLEAN, 
	PRIMARY KEY (worker_id)
);
INSERT INTO "worker" VALUES(1,'node1','node1','running',4,2,'1','1.0','{}','{}','2026-11-25 10:50:27.137502','2026-11-25 10:50:27.137502','2026-11-25 10:50:43.101519','genomes',1,'big',NULL,NULL,NULL,NULL,NULL,NULL,0);
CREATE TRIGGER is_latest BEFORE INSERT ON execution FOR EACH ROW 
        BEGIN
            UPDATE execution SET latest=false WHERE latest AND task_id=NEW.task_id;
        END;
COMMIT;
